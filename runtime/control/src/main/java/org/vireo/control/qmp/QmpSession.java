// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.control.json.Json;

/**
 * One client's side of the protocol, without its connection: what is answered to which message (QEMU, docs/interop/qmp-spec). Out of
 * band execution is not offered, so commands are done in order. One thread at a time.
 */
final class QmpSession {
    private static final Logger LOG = LoggerFactory.getLogger(QmpSession.class);

    private final Map<String, Command> commands;
    private volatile boolean negotiated;

    QmpSession(Map<String, Command> commands) {
        this.commands = commands;
    }

    /** Whether the client has entered command mode: then it gets events. */
    boolean negotiated() {
        return negotiated;
    }

    static Map<String, Object> greeting(Map<String, ?> version) {
        return Map.of("QMP", inOrder("version", version, "capabilities", List.of()));
    }

    /** Answers a message that is not one. */
    static Map<String, Object> refusal(String why) {
        return error(QmpException.generic(why));
    }

    /** Does what a message asks for, and says what to answer. */
    Map<String, Object> answer(byte[] message) {
        Object parsed;
        try {
            parsed = Json.read(message, 0, message.length);
        } catch (Json.JsonException e) {
            return refusal("JSON parse error, " + e.getMessage());
        }
        if (!(parsed instanceof Map<?, ?> request)) {
            return refusal("QMP input must be a JSON object");
        }
        Map<String, Object> reply = new LinkedHashMap<>();
        try {
            reply.put("return", execute(request));
        } catch (QmpException e) {
            reply.putAll(error(e));
        } catch (RuntimeException | LinkageError e) {
            // a fault of ours or of a bundle behind us costs the command, not the connection
            LOG.error("QMP command {} failed unexpectedly", request.get("execute"), e);
            reply.clear();
            reply.putAll(error(QmpException.generic("internal error: " + e)));
        }
        if (request.containsKey("id")) {
            reply.put("id", request.get("id"));
        }
        return reply;
    }

    private Object execute(Map<?, ?> request) throws QmpException {
        for (Object key : request.keySet()) {
            if (!"execute".equals(key) && !"arguments".equals(key) && !"id".equals(key)) {
                throw QmpException.generic("QMP input member '" + key + "' is unexpected");
            }
        }
        if (!request.containsKey("execute")) {
            throw QmpException.generic("QMP input lacks member 'execute'");
        }
        if (!(request.get("execute") instanceof String name)) {
            throw QmpException.generic("QMP input member 'execute' must be a string");
        }
        Arguments arguments = arguments(request);
        if (name.equals("qmp_capabilities")) {
            return negotiate(arguments);
        }
        if (!negotiated) {
            throw QmpException.commandNotFound("Expecting capabilities negotiation with 'qmp_capabilities'");
        }
        Command command = commands.get(name);
        if (command == null) {
            throw QmpException.commandNotFound("The command " + name + " has not been found");
        }
        return command.run(arguments);
    }

    private static Arguments arguments(Map<?, ?> request) throws QmpException {
        if (!request.containsKey("arguments")) {
            return new Arguments(Map.of());
        }
        if (!(request.get("arguments") instanceof Map<?, ?> map)) {
            throw QmpException.generic("QMP input member 'arguments' must be an object");
        }
        Map<String, Object> arguments = new LinkedHashMap<>();
        map.forEach((k, v) -> arguments.put((String) k, v));
        return new Arguments(arguments);
    }

    private Object negotiate(Arguments arguments) throws QmpException {
        if (negotiated) {
            throw QmpException.commandNotFound("Capabilities negotiation is already complete, command 'qmp_capabilities' ignored");
        }
        List<String> enable = arguments.optionalTexts("enable").orElse(List.of());
        arguments.end();
        if (!enable.isEmpty()) {
            throw QmpException.generic("Capability '" + enable.getFirst() + "' is not offered");
        }
        negotiated = true;
        return Map.of();
    }

    private static Map<String, Object> error(QmpException e) {
        return inOrder("error", inOrder("class", e.kind(), "desc", e.getMessage()));
    }

    private static Map<String, Object> inOrder(Object... namesAndValues) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            map.put((String) namesAndValues[i], namesAndValues[i + 1]);
        }
        return map;
    }
}
