// SPDX-License-Identifier: Apache-2.0
/**
 * The contract between a virtio-net frontend and the network backends behind it.
 *
 * <p>A backend is a Declarative Services component that implements {@link org.vireo.net.api.NetBackend} and, if its live
 * ports can move to another implementation or process, {@link org.vireo.net.api.BackendStateTransfer}. It is registered
 * with the service properties {@link org.vireo.net.api.NetBackend#NETDEV_ID} and
 * {@link org.vireo.net.api.NetBackend#NETDEV_TYPE}, and configured through a factory configuration whose pid is
 * {@code netdev.} and the type without hyphens ({@code netdev.tap}, {@code netdev.vhostuser}); the name of the
 * configuration's instance is the netdev's id. Options have no dot in their names: what has one was added by the framework
 * and is not the backend's. Its bundle provides the capability {@code net.backend} with the attribute
 * {@code net.backend} holding the type.
 *
 * <p>Directions are always the guest's: <em>transmit</em> is guest to network, <em>receive</em> network to guest.
 *
 * <p>Two kinds of threads call a backend. A <em>control</em> thread may be blocked until the deadline that comes with the
 * call. A <em>worker</em> serves many NICs and must never be blocked: it calls {@link org.vireo.net.api.FrameQueue} only.
 * A call that does not return within 200 ms on a worker costs the NIC: it is failed, and its backend is called no more.
 */
@Export
@Version("1.0.0")
package org.vireo.net.api;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
