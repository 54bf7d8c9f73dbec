// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A QMP connection of the test's own: a command is a line, and so is its answer. One thread. */
final class Monitor implements AutoCloseable {
    private final SocketChannel channel;
    private final BufferedReader in;

    Monitor(Path qmp) throws IOException {
        channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        channel.connect(UnixDomainSocketAddress.of(qmp));
        in = new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8));
        in.readLine();
        ask("qmp_capabilities");
    }

    /**
     * Executes a command.
     *
     * @param arguments names and values
     * @return the answer: its line
     */
    String ask(String command, String... arguments) throws IOException {
        List<String> pairs = new ArrayList<>();
        for (int i = 0; i < arguments.length; i += 2) {
            pairs.add("\"" + arguments[i] + "\": \"" + arguments[i + 1] + "\"");
        }
        String line = "{\"execute\": \"" + command + "\", \"arguments\": {" + String.join(", ", pairs) + "}}\n";
        channel.write(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8)));
        for (String answer = in.readLine(); answer != null; answer = in.readLine()) {
            if (answer.contains("\"return\"") || answer.contains("\"error\"")) {
                return answer;
            }
        }
        throw new IOException("the connection ended after " + line);
    }

    /** One that has to succeed. */
    String does(String command, String... arguments) throws IOException {
        String answer = ask(command, arguments);
        assertTrue(answer.contains("\"return\""), command + " " + List.of(arguments) + ": " + answer);
        return answer;
    }

    /** One that has to be refused, with these words. */
    void refuses(List<String> words, String command, String... arguments) throws IOException {
        String answer = ask(command, arguments);
        assertTrue(answer.contains("\"error\"") && words.stream().allMatch(answer::contains),
                command + " " + List.of(arguments) + ": " + answer + ", not " + words);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
