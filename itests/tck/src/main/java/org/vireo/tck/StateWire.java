// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.Section;
import org.vireo.posix.linux.MessageSocket;

/** Brings a state into another process: one message of lines, with the descriptors. For the kit only, it trusts the other side. */
final class StateWire {
    private static final int MOST = 256 * 1024;

    private StateWire() {
    }

    static void send(BackendState state, Fd socket, Fds fds) throws IOException {
        List<Fd> descriptors = new ArrayList<>();
        StringBuilder s = new StringBuilder(state.type()).append(' ').append(state.version()).append('\n');
        write(s, state.port(), descriptors);
        state.queues().forEach(q -> write(s, q, descriptors));
        byte[] bytes = s.append("end\n").toString().getBytes(StandardCharsets.UTF_8);
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
            new MessageSocket(socket, fds, "state").sendAll(m, bytes.length, descriptors);
        }
    }

    private static void write(StringBuilder s, Section section, List<Fd> descriptors) {
        s.append("section ").append(encode(section.name())).append('\n');
        for (String field : section.names()) {
            Object v = section.value(field);
            String kind = v instanceof Fd ? "fd" : v.getClass().getSimpleName();
            if (v instanceof Fd fd) {
                descriptors.add(fd);
            }
            s.append(kind).append(' ').append(encode(field)).append(' ').append(section.optional(field)).append(' ')
                    .append(v instanceof Fd ? "-" : encode(v.toString())).append('\n');
        }
    }

    static BackendState receive(Fd socket, Fds fds) throws IOException {
        MessageSocket in = new MessageSocket(socket, fds, "state");
        List<Fd> descriptors = new ArrayList<>();
        StringBuilder s = new StringBuilder();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(MOST);
            while (!s.toString().endsWith("end\n")) {
                long n = in.receive(m, 0, MOST, 0);
                if (n <= 0) {
                    throw new IOException("the state ended early: " + n);
                }
                descriptors.addAll(in.descriptors());
                in.descriptors().clear();
                s.append(new String(m.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8));
            }
        }
        return read(List.of(s.toString().split("\n")), descriptors.iterator());
    }

    private static BackendState read(List<String> lines, Iterator<Fd> descriptors) throws IOException {
        String[] head = lines.getFirst().split(" ");
        List<Section> sections = new ArrayList<>();
        Section.Builder b = null;
        for (String line : lines.subList(1, lines.size())) {
            String[] w = line.split(" ", -1);
            if (w[0].equals("section") || w[0].equals("end")) {
                if (b != null) {
                    sections.add(b.build());
                }
                b = w[0].equals("end") ? null : Section.builder(decode(w[1]));
                continue;
            }
            String field = decode(w[1]);
            switch (w[0]) {
                case "fd" -> b.descriptor(field, descriptors.next());
                case "Long" -> b.number(field, Long.parseLong(w[3]));
                case "Boolean" -> b.flag(field, Boolean.parseBoolean(w[3]));
                default -> b.text(field, decode(w[3]));
            }
            if (Boolean.parseBoolean(w[2])) {
                b.optional(field);
            }
        }
        try {
            return BackendState.of(head[0], Integer.parseInt(head[1]), sections.getFirst(), sections.subList(1, sections.size()));
        } catch (org.vireo.net.api.StateTransferException e) {
            throw new IOException(e);
        }
    }

    private static String encode(String s) {
        return URLEncoder.encode(s, StandardCharsets.UTF_8);
    }

    private static String decode(String s) {
        return URLDecoder.decode(s, StandardCharsets.UTF_8);
    }
}
