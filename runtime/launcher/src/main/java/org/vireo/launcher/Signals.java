// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.function.Consumer;

/**
 * SIGTERM and SIGINT. By handler and not by shutdown hook: so the exit code is 0, and what is logged while stopping is not lost. The
 * JDK's only interface for that is sun.misc.Signal, which jdk.unsupported exports; by name, because the compiler warns of each
 * mention of it and cannot be asked not to.
 */
final class Signals {
    private Signals() {
    }

    /**
     * Takes the signals that ask a process to end.
     *
     * @param to called with the signal's name, on a thread of the JVM's
     */
    static void onEnd(Consumer<String> to) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Method handle = signal.getMethod("handle", signal, handler);
            for (String name : List.of("TERM", "INT")) {
                Object h = Proxy.newProxyInstance(Signals.class.getClassLoader(), new Class<?>[] {handler}, (self, method, arguments) -> {
                    switch (method.getName()) {
                        case "handle" -> to.accept("SIG" + name);
                        case "equals" -> {
                            return self == arguments[0];
                        }
                        case "hashCode" -> {
                            return System.identityHashCode(self);
                        }
                        default -> {
                            return "handler of SIG" + name;
                        }
                    }
                    return null;
                });
                handle.invoke(null, signal.getConstructor(String.class).newInstance(name), h);
            }
        } catch (ClassNotFoundException | NoSuchMethodException | InstantiationException | IllegalAccessException e) {
            throw new IllegalStateException("this JDK has no sun.misc.Signal", e);
        } catch (InvocationTargetException e) {
            throw new IllegalStateException("SIGTERM cannot be handled; is -Xrs set?", e.getCause());
        }
    }
}
