// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.zip.CRC32;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RefusedException;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.wire.StateDecoder;
import org.vireo.net.api.wire.StateEncoder;
import org.vireo.net.api.wire.StateItems;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;

/**
 * What of a device a VMM takes along to another host, beside what it knows itself and tells there again (memory, rings, features). It says
 * what the guest has seen and must find again, so that a device that cannot be the same says so before the guest runs. Little-endian:
 *
 * <pre>
 *  0        4         8       12      16          24
 * +--------+---------+-------+-------+-----------+-------+--------------+
 * | magic  | version | items | crc32 | port      | items | port's state |
 * |        |         | bytes |       | bytes (8) |       |              |
 * +--------+---------+-------+-------+-----------+-------+--------------+
 * </pre>
 *
 * <p>magic: the bytes {@code VRDS}; crc32: of all but itself; items: {@link org.vireo.net.api.wire.StateLayout}. Sections: {@code device}
 * (features, mtu, pairs), {@code config} (mac; if the guest can see this device's), {@code port} (bytes; if whoever has the rings has a
 * state). Head: who wrote it. A section that a reader does not know is refused unless all its fields are optional.
 *
 * @param writer who wrote it, for people
 * @param features that the driver acknowledged
 * @param mtu that the guest sees, 0: none
 * @param pairs queue pairs
 * @param mac that the guest sees, empty if it is not this device that shows it
 * @param port state of whoever has the rings, empty if there is none
 */
record SavedDevice(String writer, long features, int mtu, int pairs, String mac, byte[] port) {
    /** Versions of the sections. */
    static final StateFormat FORMAT = StateFormat.of("virtio-net-device", 1, 1).build();

    private static final int MAGIC = 'V' | 'R' << 8 | 'D' << 16 | 'S' << 24;
    private static final int VERSION = 1;
    private static final int HEADER_BYTES = 24;
    private static final int CRC_AT = 12;
    /** What is between VMM and device, not between driver and device. */
    private static final long TRANSPORT = VirtioNet.PROTOCOL_FEATURES | VirtioNet.LOG_ALL;
    /** What rings and frames look like. */
    private static final long NEGOTIATED = (PortBinding.OF_RINGS | PortBinding.OFFLOADS | VirtioNet.MQ) & ~TRANSPORT;
    private static final HexFormat MAC = HexFormat.ofDelimiter(":");

    /** A NIC's, whose rings are stopped. */
    static SavedDevice of(Nic nic, DeviceState s, byte[] port) {
        boolean shows = (s.protocolFeatures() & ProtocolFeatures.CONFIG) != 0;
        return new SavedDevice("Vireo, NIC " + nic.id(), s.features() & ~TRANSPORT, shownMtu(nic, s), nic.options().pairs(),
                shows ? MAC.formatHex(nic.options().mac()) : "", port);
    }

    private static int shownMtu(Nic nic, DeviceState s) {
        return nic.options().mtu() != 0 ? nic.options().mtu() : s.mtu();
    }

    byte[] encode() throws StateTransferException {
        List<Section> sections = new java.util.ArrayList<>();
        sections.add(Section.builder("device").number("features", features).number("mtu", mtu).number("pairs", pairs).build());
        if (!mac.isEmpty()) {
            sections.add(Section.builder("config").text("mac", mac).build());
        }
        if (port.length > 0) {
            sections.add(Section.builder("port").number("bytes", port.length).build());
        }
        Section head = Section.builder("device-state").text("writer", writer).optional("writer").build();
        ByteBuffer items = StateEncoder.encode(new StateItems(head, FORMAT.writes().newest(), sections, null)).bytes();
        ByteBuffer b = ByteBuffer.allocate(HEADER_BYTES + items.remaining() + port.length).order(ByteOrder.LITTLE_ENDIAN);
        b.putInt(MAGIC).putInt(VERSION).putInt(items.remaining()).putInt(0).putLong(port.length).put(items).put(port);
        b.putInt(CRC_AT, crc(b));
        return b.array();
    }

    private static int crc(ByteBuffer b) {
        CRC32 crc = new CRC32();
        crc.update(b.array(), 0, CRC_AT);
        crc.update(b.array(), CRC_AT + 4, b.capacity() - CRC_AT - 4);
        return (int) crc.getValue();
    }

    /** Reads one. Nothing in it is trusted. */
    static SavedDevice decode(byte[] state) throws StateTransferException {
        ByteBuffer b = ByteBuffer.wrap(state).order(ByteOrder.LITTLE_ENDIAN);
        if (state.length < HEADER_BYTES) {
            throw new StateTransferException("it has " + state.length + " bytes, fewer than the " + HEADER_BYTES + " of its header");
        }
        if (b.getInt(0) != MAGIC) {
            throw new StateTransferException("it is not a state of this kind of device: it begins with 0x"
                    + Integer.toHexString(Integer.reverseBytes(b.getInt(0))));
        }
        if (b.getInt(4) != VERSION) {
            throw new StateTransferException("it has layout " + Integer.toUnsignedString(b.getInt(4)) + ", known is " + VERSION
                    + ": migrate to a host with the release that wrote it, or a later one");
        }
        int bytes = b.getInt(8);
        long portBytes = b.getLong(16);
        if (bytes < 0 || portBytes < 0 || portBytes > state.length || HEADER_BYTES + bytes + portBytes != state.length) {
            throw new StateTransferException("it has " + state.length + " bytes, its header says " + HEADER_BYTES + ", "
                    + Integer.toUnsignedString(bytes) + " and " + Long.toUnsignedString(portBytes) + ": it was cut short, or went on");
        }
        if (b.getInt(CRC_AT) != crc(b)) {
            throw new StateTransferException("its checksum is 0x" + Integer.toHexString(b.getInt(CRC_AT)) + ", its content's 0x"
                    + Integer.toHexString(crc(b)));
        }
        byte[] port = new byte[(int) portBytes];
        b.get(HEADER_BYTES + bytes, port);
        return of(StateDecoder.decode(b.slice(HEADER_BYTES, bytes), Set.of("writer"), List.of()), port);
    }

    private static SavedDevice of(StateItems items, byte[] port) throws StateTransferException {
        String writer = items.head().has("writer") ? items.head().text("writer") : "who wrote it is not known";
        if (!FORMAT.writes().contains(items.version())) {
            throw new StateTransferException("it has version " + items.version() + ", known is " + FORMAT.writes() + " (" + writer
                    + "): migrate to a host with the release that wrote it, or a later one");
        }
        Section device = null;
        String mac = "";
        long bytes = 0;
        for (Section s : items.sections()) {
            switch (s.name()) {
                case "device" -> {
                    s.requireKnown(Set.of("features", "mtu", "pairs"));
                    device = s;
                }
                case "config" -> {
                    s.requireKnown(Set.of("mac"));
                    mac = s.text("mac");
                }
                case "port" -> {
                    s.requireKnown(Set.of("bytes"));
                    bytes = s.number("bytes");
                }
                default -> requireOptional(s, writer);
            }
        }
        if (device == null) {
            throw new StateTransferException("section device is missing (" + writer + ")");
        }
        if (bytes != port.length) {
            throw new StateTransferException("section port says " + bytes + " bytes, " + port.length + " came (" + writer + ")");
        }
        return new SavedDevice(writer, device.number("features"), Math.clamp(device.number("mtu"), -1, Integer.MAX_VALUE),
                Math.clamp(device.number("pairs"), -1, Integer.MAX_VALUE), mac, port);
    }

    private static void requireOptional(Section s, String writer) throws StateTransferException {
        if (s.names().isEmpty() || !s.names().stream().allMatch(s::optional)) {
            throw new StateTransferException("section " + s.name() + " is not known here, and must not be left out (" + writer
                    + "): migrate to a host with the release that wrote it, or a later one");
        }
    }

    /**
     * What a device becomes that goes on with it.
     *
     * @param nic the NIC
     * @param s what its VMM told of it
     * @return the device
     * @throws RefusedException it cannot be the same for the guest, and why
     */
    DeviceState fit(Nic nic, DeviceState s) throws RefusedException {
        if (pairs != nic.options().pairs()) {
            throw new RefusedException("it has " + pairs + " queue pairs, this NIC " + nic.options().pairs()
                    + ": give both the same queues=");
        }
        if (nic.binding() != null && !nic.binding().reachable()) {
            throw new RefusedException("netdev " + nic.options().netdev() + " is not open, so what this NIC can do is not known");
        }
        long missing = features & ~nic.vmm().offered();
        if (missing != 0) {
            throw new RefusedException("the guest acknowledged " + VirtioNet.names(missing) + ", which this NIC does not have");
        }
        long other = s.features() == 0 ? 0 : (features ^ s.features()) & NEGOTIATED;
        if (other != 0) {
            throw new RefusedException("the guest acknowledged features 0x" + Long.toHexString(features) + ", SET_FEATURES said 0x"
                    + Long.toHexString(s.features()) + " here: they differ in " + VirtioNet.names(other));
        }
        String mine = MAC.formatHex(nic.options().mac());
        if (!mac.isEmpty() && !Objects.equals(mac, mine)) {
            throw new RefusedException("the guest has seen mac " + mac + ", this NIC has " + mine + ": give it mac=" + mac);
        }
        return s.withMtu(fitMtu(nic, s));
    }

    private int fitMtu(Nic nic, DeviceState s) throws RefusedException {
        if (mtu == 0) {
            return s.mtu();
        }
        int here = shownMtu(nic, s);
        if (here != 0 && here != mtu) {
            throw new RefusedException("the guest has seen mtu " + mtu + ", this NIC has " + here + ": give it mtu=" + mtu);
        }
        if (mtu < 68 || mtu > 65535 || nic.vmm().portMtu() != 0 && mtu > nic.vmm().portMtu()) {
            throw new RefusedException("the guest has seen mtu " + mtu + ", the port's is " + nic.vmm().portMtu() + " here");
        }
        return nic.options().mtu() != 0 ? s.mtu() : mtu;
    }
}
