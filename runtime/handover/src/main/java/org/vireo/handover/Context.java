// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.Map;
import java.util.function.BiConsumer;
import org.vireo.net.api.Fds;
import org.vireo.net.api.nic.Nics;

/**
 * What a handover runs in.
 *
 * @param nics the NICs
 * @param fds makes descriptors
 * @param deadlines how long
 * @param events takes events
 * @param rehearsal whether this is one: then nothing is logged or collected
 */
record Context(Nics nics, Fds fds, Deadlines deadlines, BiConsumer<String, Map<String, Object>> events, boolean rehearsal) { }
