// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** What a class logs. */
final class Logged extends Handler implements AutoCloseable {
    private final Logger logger;
    private volatile boolean trace;
    private final List<String> messages = new CopyOnWriteArrayList<>();

    Logged(Class<?> of) {
        logger = Logger.getLogger(of.getName());
        logger.addHandler(this);
    }

    List<String> lines() {
        return List.copyOf(messages);
    }

    /** Whether a stack trace was logged. */
    boolean hasTrace() {
        return trace;
    }

    String text() {
        return String.join("\n", messages);
    }

    @Override
    public void publish(LogRecord record) {
        trace |= record.getThrown() != null;
        messages.add(new SimpleFormatter().formatMessage(record));
    }

    @Override
    public void flush() {
        // nothing is kept back
    }

    @Override
    public void close() {
        logger.removeHandler(this);
    }
}
