// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.util.Optional;

/**
 * Requests of a front-end ("Front-end message types" of the specification), with the rule for each one's payload and descriptors.
 * Kinds that Vireo does not serve are here for their names; their rules are as loose as they may be.
 */
public enum Request implements MessageKind {
    GET_FEATURES(1, PayloadShape.EMPTY, PayloadShape.U64, DescriptorRule.NONE),
    SET_FEATURES(2, PayloadShape.U64, null, DescriptorRule.NONE),
    SET_OWNER(3, PayloadShape.EMPTY, null, DescriptorRule.NONE),
    RESET_OWNER(4, PayloadShape.EMPTY, null, DescriptorRule.NONE),
    SET_MEM_TABLE(5, PayloadShape.MEMORY_TABLE, null, DescriptorRule.ONE_A_REGION),
    SET_LOG_BASE(6, PayloadShape.LOG, PayloadShape.ANY, DescriptorRule.ONE_A_LOG),
    SET_LOG_FD(7, PayloadShape.EMPTY, null, DescriptorRule.ONE),
    SET_VRING_NUM(8, PayloadShape.VRING_STATE, null, DescriptorRule.NONE),
    SET_VRING_ADDR(9, PayloadShape.VRING_ADDRESS, null, DescriptorRule.NONE),
    SET_VRING_BASE(10, PayloadShape.VRING_STATE, null, DescriptorRule.NONE),
    GET_VRING_BASE(11, PayloadShape.VRING_STATE, PayloadShape.VRING_STATE, DescriptorRule.NONE),
    SET_VRING_KICK(12, PayloadShape.U64, null, DescriptorRule.UNLESS_BIT_8),
    SET_VRING_CALL(13, PayloadShape.U64, null, DescriptorRule.UNLESS_BIT_8),
    SET_VRING_ERR(14, PayloadShape.U64, null, DescriptorRule.UNLESS_BIT_8),
    GET_PROTOCOL_FEATURES(15, PayloadShape.EMPTY, PayloadShape.U64, DescriptorRule.NONE),
    SET_PROTOCOL_FEATURES(16, PayloadShape.U64, null, DescriptorRule.NONE),
    GET_QUEUE_NUM(17, PayloadShape.EMPTY, PayloadShape.U64, DescriptorRule.NONE),
    SET_VRING_ENABLE(18, PayloadShape.VRING_STATE, null, DescriptorRule.NONE),
    SEND_RARP(19, PayloadShape.U64, null, DescriptorRule.NONE),
    NET_SET_MTU(20, PayloadShape.U64, null, DescriptorRule.NONE),
    SET_BACKEND_REQ_FD(21, PayloadShape.EMPTY, null, DescriptorRule.ONE),
    IOTLB_MSG(22, PayloadShape.IOTLB, null, DescriptorRule.NONE),
    SET_VRING_ENDIAN(23, PayloadShape.VRING_STATE, null, DescriptorRule.NONE),
    /** The reply is a {@link DeviceConfig}, or nothing: it cannot be read. */
    GET_CONFIG(24, PayloadShape.CONFIG, PayloadShape.ANY, DescriptorRule.NONE),
    SET_CONFIG(25, PayloadShape.CONFIG, null, DescriptorRule.NONE),
    CREATE_CRYPTO_SESSION(26, PayloadShape.ANY, PayloadShape.ANY, DescriptorRule.ANY),
    CLOSE_CRYPTO_SESSION(27, PayloadShape.ANY, null, DescriptorRule.ANY),
    POSTCOPY_ADVISE(28, PayloadShape.EMPTY, PayloadShape.ANY, DescriptorRule.NONE),
    POSTCOPY_LISTEN(29, PayloadShape.EMPTY, null, DescriptorRule.NONE),
    POSTCOPY_END(30, PayloadShape.EMPTY, PayloadShape.U64, DescriptorRule.NONE),
    GET_INFLIGHT_FD(31, PayloadShape.INFLIGHT, PayloadShape.INFLIGHT, DescriptorRule.NONE),
    SET_INFLIGHT_FD(32, PayloadShape.INFLIGHT, null, DescriptorRule.ONE),
    GPU_SET_SOCKET(33, PayloadShape.EMPTY, null, DescriptorRule.ONE),
    RESET_DEVICE(34, PayloadShape.EMPTY, null, DescriptorRule.NONE),
    VRING_KICK(35, PayloadShape.VRING_STATE, null, DescriptorRule.NONE),
    GET_MAX_MEM_SLOTS(36, PayloadShape.EMPTY, PayloadShape.U64, DescriptorRule.NONE),
    ADD_MEM_REG(37, PayloadShape.MEMORY_REGION, null, DescriptorRule.ONE),
    /** A stray descriptor comes from some front-ends. It means nothing and is closed. */
    REM_MEM_REG(38, PayloadShape.MEMORY_REGION, null, DescriptorRule.OPTIONAL),
    SET_STATUS(39, PayloadShape.U64, null, DescriptorRule.NONE),
    GET_STATUS(40, PayloadShape.EMPTY, PayloadShape.U64, DescriptorRule.NONE),
    GET_SHARED_OBJECT(41, PayloadShape.UUID, PayloadShape.ANY, DescriptorRule.NONE),
    SET_DEVICE_STATE_FD(42, PayloadShape.DEVICE_STATE, PayloadShape.U64, DescriptorRule.ONE),
    CHECK_DEVICE_STATE(43, PayloadShape.EMPTY, PayloadShape.U64, DescriptorRule.NONE),
    GET_SHMEM_CONFIG(44, PayloadShape.ANY, PayloadShape.ANY, DescriptorRule.NONE),
    GET_VRING_BASE_SKIP_DRAIN(45, PayloadShape.VRING_STATE, PayloadShape.VRING_STATE, DescriptorRule.NONE);

    private static final Request[] BY_ID = new Request[46];

    static {
        for (Request r : values()) {
            BY_ID[r.id] = r;
        }
    }

    private final int id;
    private final PayloadShape shape;
    private final PayloadShape replyShape;
    private final DescriptorRule descriptors;

    Request(int id, PayloadShape shape, PayloadShape replyShape, DescriptorRule descriptors) {
        this.id = id;
        this.shape = shape;
        this.replyShape = replyShape;
        this.descriptors = descriptors;
    }

    /** The request with an id, or empty for one that the specification does not have. */
    public static Optional<Request> of(int id) {
        return id < 0 || id >= BY_ID.length ? Optional.empty() : Optional.ofNullable(BY_ID[id]);
    }

    /** The name of an id, for messages; {@code "request 99"} for an unknown one. */
    public static String name(int id) {
        return of(id).map(Enum::name).orElse("request " + Integer.toUnsignedString(id));
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
        return replyShape;
    }

    @Override
    public DescriptorRule descriptors() {
        return descriptors;
    }
}
