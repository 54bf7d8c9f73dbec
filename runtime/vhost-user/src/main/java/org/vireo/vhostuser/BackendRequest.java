// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.util.Optional;

/** Requests of a back-end, on the channel that SET_BACKEND_REQ_FD gives it ("Back-end message types" of the specification). */
public enum BackendRequest implements MessageKind {
    IOTLB_MSG(1, PayloadShape.IOTLB, DescriptorRule.NONE),
    CONFIG_CHANGE_MSG(2, PayloadShape.EMPTY, DescriptorRule.NONE),
    VRING_HOST_NOTIFIER_MSG(3, PayloadShape.VRING_AREA, DescriptorRule.OPTIONAL),
    VRING_CALL(4, PayloadShape.VRING_STATE, DescriptorRule.NONE),
    VRING_ERR(5, PayloadShape.VRING_STATE, DescriptorRule.NONE),
    SHARED_OBJECT_ADD(6, PayloadShape.UUID, DescriptorRule.NONE),
    SHARED_OBJECT_REMOVE(7, PayloadShape.UUID, DescriptorRule.NONE),
    SHARED_OBJECT_LOOKUP(8, PayloadShape.UUID, DescriptorRule.NONE),
    SHMEM_MAP(9, PayloadShape.ANY, DescriptorRule.ANY),
    SHMEM_UNMAP(10, PayloadShape.ANY, DescriptorRule.ANY);

    private final int id;
    private final PayloadShape shape;
    private final DescriptorRule descriptors;

    BackendRequest(int id, PayloadShape shape, DescriptorRule descriptors) {
        this.id = id;
        this.shape = shape;
        this.descriptors = descriptors;
    }

    /** The request with an id, or empty for one that the specification does not have. */
    public static Optional<BackendRequest> of(int id) {
        return id >= 1 && id <= values().length ? Optional.of(values()[id - 1]) : Optional.empty();
    }

    @Override
    public int id() {
        return id;
    }

    @Override
    public PayloadShape shape() {
        return shape;
    }

    @Override
    public PayloadShape replyShape() {
        return null;
    }

    @Override
    public DescriptorRule descriptors() {
        return descriptors;
    }
}
