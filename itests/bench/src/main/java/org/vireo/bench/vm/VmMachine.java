// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/** A {@link VmHost} that this process started, and its commands. One thread. */
final class VmMachine {
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private final Stage stage;
    private final String name;
    private final Program program;
    private int commands;

    /**
     * Starts one, with a VM or none.
     *
     * @param stage what it belongs to
     * @param name for messages
     * @param nic the socket of its NIC
     * @param packed whether rings are packed
     * @param pairs queue pairs
     */
    VmMachine(Stage stage, String name, Path nic, boolean packed, int pairs) throws BenchException {
        this.stage = stage;
        this.name = name;
        program = stage.start("the VMM " + name, Tools.java(VmHost.class.getName(), nic.toString(), packed ? "on" : "off",
                String.valueOf(pairs)));
    }

    String name() {
        return name;
    }

    /** Begins a command; its number. */
    int begin(String command) throws BenchException {
        program.say(command);
        return commands++;
    }

    /** Begins to take a VM, and waits until it may come; the command's number. */
    int listen(Path at, VmMove.Phase hold) throws BenchException {
        int n = begin("listen " + at + " " + hold);
        program.await(l -> l.equals("listens " + n), "that it listens", LIMIT);
        return n;
    }

    /** Waits until a move has come to the point where it was asked to hold. */
    void awaitHolding(int number) throws BenchException {
        String line = program.await(l -> l.equals("holds " + number) || isEnd(l, number), "that it holds", LIMIT);
        if (!line.startsWith("holds")) {
            throw new BenchException(name + " did not come to where it was to hold: " + line);
        }
    }

    /** Lets a move that holds go on, or end here. */
    void release(boolean goOn) throws BenchException {
        program.say(goOn ? "go" : "cancel");
    }

    /** Waits for the end of a command, which has to succeed. */
    Map<String, Object> end(int number) throws BenchException {
        String line = said(number);
        if (line.startsWith("failed")) {
            throw new BenchException(name + ": " + line);
        }
        return Json.object(line.substring(line.indexOf('{')));
    }

    /** Waits for the end of a command, which has to fail. */
    String failure(int number) throws BenchException {
        String line = said(number);
        if (!line.startsWith("failed")) {
            throw new BenchException(name + " did what it must not: " + line);
        }
        return line;
    }

    private String said(int number) throws BenchException {
        return program.await(l -> isEnd(l, number), "the end of a command", LIMIT);
    }

    private static boolean isEnd(String line, int number) {
        return line.startsWith("did " + number + " ") || line.startsWith("failed " + number + " ");
    }

    /** Kills it. */
    void kill() throws BenchException {
        stage.run(List.of("kill", "-9", String.valueOf(program.pid())));
        program.awaitEnd(LIMIT);
        stage.end(program);
    }

    /** Ends it in good order. */
    void close() throws BenchException {
        program.endInput();
        program.awaitEnd(LIMIT);
        stage.end(program);
    }
}
