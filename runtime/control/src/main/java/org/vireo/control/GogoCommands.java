// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.Reference;
import org.vireo.control.client.Table;
import org.vireo.control.json.Json;
import org.vireo.control.qmp.Arguments;
import org.vireo.control.qmp.Command;
import org.vireo.control.qmp.OptionSyntax;
import org.vireo.control.qmp.QmpException;

/**
 * Commands for Gogo, the shell of OSGi frameworks, in the scope {@code vireo}: the same as QMP's, with the same answers and errors. Gogo
 * finds them by the service's properties and calls them by name, so nothing of it is imported: without Gogo nobody asks for this service.
 * Any thread.
 */
@Component(service = GogoCommands.class, property = {"osgi.command.scope=vireo", "osgi.command.function=nics",
    "osgi.command.function=netdevs", "osgi.command.function=backends", "osgi.command.function=swap", "osgi.command.function=standby",
    "osgi.command.function=qmp"})
public final class GogoCommands {
    private final Map<String, Command> commands;

    /**
     * Made by the framework.
     *
     * @param control does what is asked for
     */
    @Activate
    public GogoCommands(@Reference Startup control) {
        commands = control.commands();
    }

    /**
     * The NICs.
     *
     * @return a table
     * @throws QmpException it cannot be told
     */
    public String nics() throws QmpException {
        return table(Table.nics(), "query-nics");
    }

    /**
     * The netdevs.
     *
     * @return a table
     * @throws QmpException it cannot be told
     */
    public String netdevs() throws QmpException {
        return table(Table.netdevs(), "query-netdevs");
    }

    /**
     * The installed backends.
     *
     * @return a table
     * @throws QmpException it cannot be told
     */
    public String backends() throws QmpException {
        return table(Table.backends(), "query-backends");
    }

    /**
     * Another type of backend goes on with what a netdev has open.
     *
     * @param netdev its id
     * @param type the type
     * @return the netdevs afterwards
     * @throws QmpException it cannot, and why; the former one goes on
     */
    public String swap(String netdev, String type) throws QmpException {
        return swap(netdev, type, "");
    }

    /**
     * Another type of backend goes on with what a netdev has open, with options of its own.
     *
     * @param netdev its id
     * @param type the type
     * @param options as in {@code netdev_add}: {@code key=value,key=value}
     * @return the netdevs afterwards
     * @throws QmpException it cannot, and why; the former one goes on
     */
    public String swap(String netdev, String type, String options) throws QmpException {
        Map<String, Object> with = new LinkedHashMap<>();
        if (!options.isEmpty()) {
            try {
                with.putAll(OptionSyntax.parse(options, ""));
            } catch (OptionSyntax.SyntaxException e) {
                throw QmpException.generic("swap " + netdev + ": " + options + ": " + e.getMessage());
            }
        }
        with.put("id", netdev);
        with.put("type", type);
        run("netdev-swap", with);
        return netdevs();
    }

    /**
     * What this process is among those who stand by for one another.
     *
     * @return a line for each thing that is known
     * @throws QmpException it cannot be told
     */
    public String standby() throws QmpException {
        StringBuilder b = new StringBuilder();
        ((Map<?, ?>) run("query-standby", Map.of())).forEach((k, v) -> b.append(k).append(": ").append(plain(v)).append(
                System.lineSeparator()));
        return b.toString();
    }

    /**
     * Others may stand by for this process from now on.
     *
     * @param uri {@code unix:PATH}
     * @return what it is then
     * @throws QmpException it cannot, and why
     */
    public String standby(String uri) throws QmpException {
        run("standby", Map.of("uri", uri));
        return standby();
    }

    /**
     * Any command of QMP's.
     *
     * @param command its name, as {@code query-commands} tells it
     * @param arguments {@code key=value} each; a value is JSON if it is any, else a text
     * @return the answer as JSON
     * @throws QmpException it is refused, and why
     */
    public String qmp(String command, String... arguments) throws QmpException {
        Map<String, Object> with;
        try {
            with = OptionSyntax.words(List.of(arguments));
        } catch (OptionSyntax.SyntaxException e) {
            throw QmpException.generic("qmp " + command + ": " + e.getMessage());
        }
        return Json.text(run(command, with));
    }

    private String table(Table table, String query) throws QmpException {
        return table.add(run(query, Map.of())).toString();
    }

    private Object run(String name, Map<String, ?> arguments) throws QmpException {
        Command c = commands.get(name);
        if (c == null) {
            throw QmpException.commandNotFound("The command " + name + " has not been found; vireo:qmp query-commands tells all");
        }
        return c.run(new Arguments(arguments));
    }

    private static String plain(Object value) {
        return value instanceof String s ? s : Json.text(value);
    }
}
