// SPDX-License-Identifier: Apache-2.0
/**
 * What every run needs of the machine that it is on: the {@link org.vireo.bench.host.Stage} that all belongs to, processes, network
 * namespaces, daemons and their QMP, and what {@code /proc} tells of them. Failures are
 * {@link org.vireo.bench.host.BenchException}s, one line for a person.
 */
package org.vireo.bench.host;
