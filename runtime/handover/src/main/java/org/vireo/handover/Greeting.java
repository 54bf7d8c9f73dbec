// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateFormat.Versions;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.wire.StateLayout;
import org.vireo.posix.Errno;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.UnixSockets;

/**
 * The first record each way: who is there, which versions it writes and reads, which parameters it has. What cannot work is refused
 * here, with both sides' values. Immutable; the pidfd is the message's until {@link #peer} takes it.
 */
final class Greeting {
    private static final String READS = "image reads";
    private static final String BACKEND_TRANSFER = "backend-transfer";
    private static final String BREAK_BEFORE_MAKE = "break-before-make";

    private final Message message;
    private final String role;
    private final long pid;
    private final Parameters parameters;
    private final Versions stream;
    private final String imageType;
    private final Versions imageWrites;
    private final Map<String, Versions> imageReads;

    private Greeting(Message m) throws WireException {
        message = m;
        role = m.text("role");
        pid = m.number("pid");
        // who does not know the second one does not do it
        parameters = new Parameters(m.flag(BACKEND_TRANSFER), m.head().has(BREAK_BEFORE_MAKE) && m.flag(BREAK_BEFORE_MAKE));
        stream = versions("stream", m.number("stream-oldest"), m.number("stream-newest"));
        imageType = m.text("image-type");
        imageWrites = versions("image", m.number("image-oldest"), m.number("image-newest"));
        imageReads = new TreeMap<>();
        for (Section s : m.sections()) {
            if (s.name().equals(READS)) {
                for (String type : s.names()) {
                    imageReads.put(type, reads(s, type));
                }
            }
        }
    }

    private static Versions reads(Section s, String type) throws WireException {
        try {
            long v = s.number(type);
            return versions(type, v >>> 32, v & 0xffffffffL);
        } catch (StateTransferException e) {
            throw new WireException("HELLO: " + e.getMessage(), e);
        }
    }

    private static Versions versions(String what, long oldest, long newest) throws WireException {
        if (oldest < 1 || newest < oldest || newest > Integer.MAX_VALUE) {
            throw new WireException("HELLO: " + what + " versions " + oldest + " to " + newest);
        }
        return new Versions((int) oldest, (int) newest);
    }

    /**
     * This process's greeting.
     *
     * @param role source or target, active or standby
     * @param format of the NICs' images
     * @param parameters as they are here
     * @param self this process's pidfd; stays the caller's
     * @return the record
     */
    static Message hello(String role, StateFormat format, Parameters parameters, Fd self) {
        Section head = Section.builder(RecordType.HELLO.name())
                .text("role", role)
                .number("pid", ProcessHandle.current().pid())
                .descriptor("pidfd", self)
                .flag(BACKEND_TRANSFER, parameters.backendTransfer())
                .flag(BREAK_BEFORE_MAKE, parameters.breakBeforeMake()).optional(BREAK_BEFORE_MAKE)
                .number("stream-oldest", StateLayout.OLDEST).number("stream-newest", StateLayout.NEWEST)
                .text("image-type", format.type())
                .number("image-oldest", format.writes().oldest()).number("image-newest", format.writes().newest())
                .build();
        Section.Builder reads = Section.builder(READS);
        new TreeMap<>(format.reads()).forEach((type, v) -> reads.number(type, (long) v.oldest() << 32 | v.newest()));
        return Message.of(RecordType.HELLO, head, List.of(reads.build()));
    }

    /** This process's pidfd. */
    static Fd self(Fds fds) throws IOException {
        return Processes.open(fds, ProcessHandle.current().pid());
    }

    /**
     * Says this process's greeting.
     *
     * @param channel to whom
     * @param context what it runs in
     * @param role source or target, active or standby
     * @param parameters as they are here
     * @throws IOException the channel broke, or no descriptor is left
     */
    static void say(Channel channel, Context context, String role, Parameters parameters) throws IOException {
        try (Fd self = self(context.fds())) {
            channel.send(hello(role, context.nics().imageFormat(), parameters, self), Deadlines.in(context.deadlines().hello()));
        }
    }

    /**
     * The other side of a channel, as it greeted.
     *
     * @param process its process, which the caller closes
     * @param version of the image that travels
     */
    record Other(Peer process, int version) { }

    /**
     * Hears the greeting of the other side.
     *
     * @param m the first record, closed if this throws
     * @param context what it runs in
     * @param role what the other side must be
     * @param parameters as they are here
     * @param connected pid of who connected, -1 where that is not known
     * @return the other side
     * @throws HandoverException it does not fit
     * @throws WireException it is none, or a field is missing or wrong
     */
    static Other hear(Message m, Context context, String role, Parameters parameters, int connected)
            throws HandoverException, WireException {
        try {
            Greeting g = of(m);
            int version = g.agree(role, context.nics().imageFormat(), parameters);
            return new Other(g.peer(context.fds(), connected), version);
        } catch (HandoverException | WireException e) {
            m.close();
            throw e;
        }
    }

    /** As {@link #hear}, of who was greeted first and may have refused. */
    static Other hearAnswer(Message m, Context context, String role, Parameters parameters) throws HandoverException, WireException {
        if (m.type() == RecordType.REFUSED) {
            try (m) {
                String who = role.equals("active") ? "active process" : role;
                throw new HandoverException("refused by the " + who + ": " + m.text("why"));
            }
        }
        return hear(m, context, role, parameters, -1);
    }

    /**
     * Reads the other side's greeting.
     *
     * @param m a HELLO record
     * @return its content
     * @throws WireException a field is missing or wrong
     */
    static Greeting of(Message m) throws WireException {
        if (m.type() != RecordType.HELLO) {
            throw new WireException("the first record is " + m.type() + ", not HELLO");
        }
        return new Greeting(m);
    }

    /**
     * Refuses what cannot work.
     *
     * @param otherRole what the other side must be
     * @param format of the NICs' images here
     * @param here the parameters of this side
     * @return version of the image that travels
     * @throws HandoverException it cannot work: what, and both sides' values
     */
    int agree(String otherRole, StateFormat format, Parameters here) throws HandoverException {
        if (!role.equals(otherRole)) {
            throw new HandoverException("the other side is a " + role + ", not a " + otherRole);
        }
        highestCommon("stream", new Versions(StateLayout.OLDEST, StateLayout.NEWEST), stream);
        same(BACKEND_TRANSFER, here.backendTransfer(), parameters.backendTransfer());
        same(BREAK_BEFORE_MAKE, here.breakBeforeMake(), parameters.breakBeforeMake());
        boolean theyRead = role.equals("target") || role.equals("standby");
        return theyRead ? image(format.type(), format.writes(), imageReads) : image(imageType, imageWrites, format.reads());
    }

    private void same(String parameter, boolean here, boolean there) throws HandoverException {
        if (here != there) {
            throw new HandoverException("parameter " + parameter + " is " + onOff(here) + " here and " + onOff(there)
                    + " at the other side, the " + role + ": set it alike (migrate-set-parameters)");
        }
    }

    private int image(String type, Versions writes, Map<String, Versions> reads) throws HandoverException {
        Versions r = reads.get(type);
        if (r == null) {
            throw new HandoverException("section " + type + ": the source writes it, the target reads only " + reads.keySet());
        }
        return highestCommon(type, writes, r);
    }

    private static int highestCommon(String section, Versions a, Versions b) throws HandoverException {
        int newest = Math.min(a.newest(), b.newest());
        if (newest < Math.max(a.oldest(), b.oldest())) {
            throw new HandoverException("section " + section + ": versions " + a.oldest() + " to " + a.newest() + " on one side, "
                    + b.oldest() + " to " + b.newest() + " on the other: none in common");
        }
        return newest;
    }

    private static String onOff(boolean b) {
        return b ? "on" : "off";
    }

    /** This process's effective user; the owner of /proc/self would be root's for one that must not be dumped. */
    private static int user() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("Uid:")) {
                return Integer.parseUnsignedInt(line.substring(4).strip().split("\\s+")[1]);
            }
        }
        throw new IOException("/proc/self/status names no user");
    }

    /**
     * Refuses a peer of another user, see unix(7), SO_PEERCRED.
     *
     * @param socket a connected socket
     * @return who connected or listened
     * @throws HandoverException neither the same user nor root
     * @throws IOException it cannot be told
     */
    static UnixSockets.Peer checkUser(Fd socket) throws HandoverException, IOException {
        UnixSockets.Peer p = UnixSockets.peer(socket);
        int own = user();
        if (p.uid() != own && p.uid() != 0) {
            throw new HandoverException("process " + p.pid() + " belongs to user " + p.uid() + "; a handover is for user " + own
                    + " and root only");
        }
        return p;
    }

    /**
     * The process that greeted, checked: its pidfd is one, of the process that it says, which may be signalled from here.
     *
     * @param fds makes descriptors
     * @param connected pid of who connected, -1 where that is not known (the one who listened need not be the one who accepted)
     * @return the peer, which owns the pidfd
     * @throws HandoverException something does not fit
     * @throws WireException the descriptor is missing
     */
    Peer peer(Fds fds, int connected) throws HandoverException, WireException {
        Fd pidfd;
        try {
            pidfd = message.head().descriptor("pidfd");
        } catch (StateTransferException e) {
            throw new WireException("HELLO: " + e.getMessage(), e);
        }
        long real;
        try {
            real = Processes.pid(pidfd);
        } catch (IOException e) {
            throw new HandoverException("it cannot be told which process the " + role + " is: " + e.getMessage(), e);
        }
        if (real <= 0) {
            throw new HandoverException("the descriptor that the " + role + " sent for itself (it says process " + pid
                    + ") is no pidfd of a living process of this pid namespace");
        }
        if (real != pid || connected > 0 && connected != real) {
            throw new HandoverException("the " + role + " says that it is process " + pid + ", its pidfd is of process " + real
                    + (connected > 0 ? ", and process " + connected + " connected" : "") + ": are they in one pid namespace?");
        }
        int n = Processes.signal(pidfd, 0);
        if (n < 0) {
            throw new HandoverException("process " + pid + " could not be ended from here if that became necessary: " + Errno.text(-n));
        }
        return new Peer(fds, pid, pidfd);
    }
}
