// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.wire;

import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Section;

/**
 * What {@link StateLayout} lays out. Immutable; who has it owns its descriptors.
 *
 * @param head the state's own fields
 * @param version version of the sections, at least 1
 * @param sections the sections, each name once
 * @param backend a backend's state, or null
 */
public record StateItems(Section head, int version, List<Section> sections, BackendState backend) {
    /** Copies the list. */
    public StateItems {
        sections = List.copyOf(sections);
    }
}
