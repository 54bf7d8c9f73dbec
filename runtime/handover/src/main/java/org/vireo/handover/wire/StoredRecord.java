// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.wire.StateEncoder;
import org.vireo.net.api.wire.StateLayout;
import org.vireo.posix.linux.SharedMemory;

/**
 * A NIC's image, or a change of it, in a memory file, while its descriptors are kept elsewhere, each under a number. Little-endian:
 *
 * <pre>
 *  0        4         8           16       20        24            28       32
 * +--------+---------+------------+--------+---------+-------------+--------+-------------------+---------+
 * | magic  | version | generation | index  | payload | descriptors | crc32  | a number each (8) | payload |
 * +--------+---------+------------+--------+---------+-------------+--------+-------------------+---------+
 * </pre>
 *
 * <ul>
 * <li>magic: the bytes {@code VRFD}
 * <li>generation: a later picture of the NIC has a larger one
 * <li>index: 0 for the picture, then its changes from 1 on
 * <li>payload: length of the payload, which is a PREPARE or CHANGE record's ({@link StateLayout})
 * <li>crc32: of all but itself
 * </ul>
 *
 * @param generation of the picture
 * @param index 0, or the number of the change
 * @param numbers of the descriptors, in the order of their indices
 * @param payload the record's payload
 */
public record StoredRecord(long generation, int index, List<Long> numbers, byte[] payload) {
    private static final int MAGIC = 'V' | 'R' << 8 | 'F' << 16 | 'D' << 24;
    private static final int VERSION = 1;
    private static final int CRC_AT = 28;
    private static final int HEADER_BYTES = 32;

    /**
     * An image's payload and the descriptors that it needs.
     *
     * @param payload bytes
     * @param descriptors in the order of their indices; they stay the image's
     */
    public record Encoded(byte[] payload, List<Fd> descriptors) { }

    /**
     * Encodes.
     *
     * @param image a picture or a change; stays the caller's
     * @param index 0 for a picture
     * @return what to store
     * @throws WireException it is over a limit
     */
    public static Encoded encode(NicImage image, int index) throws WireException {
        StateEncoder.Encoded e = Message.of(type(index), image).encode();
        byte[] b = new byte[e.bytes().remaining()];
        if (b.length > RecordLayout.MAX_RECORD) {
            throw new WireException("a record of " + b.length + " bytes is larger than the " + RecordLayout.MAX_RECORD
                    + " that are allowed");
        }
        e.bytes().get(b);
        return new Encoded(b, e.descriptors());
    }

    private static RecordType type(int index) {
        return index == 0 ? RecordType.PREPARE : RecordType.CHANGE;
    }

    /**
     * Writes it.
     *
     * @param fds makes the descriptor
     * @param name of the file
     * @return the file
     * @throws IOException no memory or descriptor left
     */
    public Fd write(Fds fds, String name) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(HEADER_BYTES + 8 * numbers.size() + payload.length).order(ByteOrder.LITTLE_ENDIAN);
        b.putInt(MAGIC).putInt(VERSION).putLong(generation).putInt(index).putInt(payload.length).putInt(numbers.size()).putInt(0);
        numbers.forEach(b::putLong);
        b.put(payload);
        b.putInt(CRC_AT, crc(b));
        Fd file = SharedMemory.create(fds, name, b.capacity(), true);
        try {
            long at = SharedMemory.map(file, 0, b.capacity());
            MemorySegment.copy(b.array(), 0, SharedMemory.addressSpace(), ValueLayout.JAVA_BYTE, at, b.capacity());
            SharedMemory.unmap(at, b.capacity());
        } catch (IOException e) {
            file.close();
            throw e;
        }
        return file;
    }

    /**
     * Reads one. Nothing in it is trusted.
     *
     * @param file a sealed memory file
     * @return what it holds
     * @throws WireException a rule is broken
     * @throws IOException it cannot be read
     */
    public static StoredRecord read(Fd file) throws WireException, IOException {
        long size = SharedMemory.size(file);
        if (!SharedMemory.isSealed(file) || size < HEADER_BYTES || size > RecordLayout.MAX_RECORD + 8L * StateLayout.MAX_DESCRIPTORS) {
            throw new WireException("a file of " + size + " bytes is not one of a NIC");
        }
        ByteBuffer b = ByteBuffer.allocate((int) size).order(ByteOrder.LITTLE_ENDIAN);
        long at = SharedMemory.map(file, 0, size);
        MemorySegment.copy(SharedMemory.addressSpace(), ValueLayout.JAVA_BYTE, at, b.array(), 0, (int) size);
        SharedMemory.unmap(at, size);
        return parse(b);
    }

    private static StoredRecord parse(ByteBuffer b) throws WireException {
        if (b.getInt(0) != MAGIC) {
            throw new WireException("its file is not one of a NIC: it begins with "
                    + Integer.toHexString(Integer.reverseBytes(b.getInt(0))));
        }
        if (b.getInt(4) != VERSION) {
            throw new WireException("its file has version " + b.getInt(4) + ", known is " + VERSION);
        }
        if (b.getInt(CRC_AT) != crc(b)) {
            throw new WireException("the checksum of its file is " + Integer.toHexString(b.getInt(CRC_AT)) + ", its content's "
                    + Integer.toHexString(crc(b)));
        }
        int bytes = b.getInt(20);
        int count = b.getInt(24);
        if (bytes < 0 || count < 0 || count > StateLayout.MAX_DESCRIPTORS || b.getInt(16) < 0
                || HEADER_BYTES + 8L * count + bytes != b.capacity()) {
            throw new WireException("its file of " + b.capacity() + " bytes says " + count + " descriptors and " + bytes + " bytes");
        }
        List<Long> numbers = new ArrayList<>();
        b.position(HEADER_BYTES);
        for (int i = 0; i < count; i++) {
            numbers.add(b.getLong());
        }
        byte[] payload = new byte[bytes];
        b.get(payload);
        return new StoredRecord(b.getLong(8), b.getInt(16), List.copyOf(numbers), payload);
    }

    /**
     * The image.
     *
     * @param descriptors one for each number; the image owns them afterwards. If this throws they are closed
     * @return a picture or a change
     * @throws WireException a rule is broken
     */
    public NicImage image(List<Fd> descriptors) throws WireException {
        Message m = Message.decode(type(index), ByteBuffer.wrap(payload).order(ByteOrder.LITTLE_ENDIAN), descriptors);
        try {
            return m.image();
        } catch (WireException e) {
            m.close();
            throw e;
        }
    }

    private static int crc(ByteBuffer b) {
        CRC32 crc = new CRC32();
        crc.update(b.array(), 0, CRC_AT);
        crc.update(b.array(), HEADER_BYTES, b.capacity() - HEADER_BYTES);
        return (int) crc.getValue();
    }
}
