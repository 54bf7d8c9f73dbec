// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.Deactivate;
import org.osgi.service.component.annotations.Reference;
import org.osgi.service.log.LogEntry;
import org.osgi.service.log.LogListener;
import org.osgi.service.log.LogReaderService;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Passes what the framework and its services log to SLF4J: without it a component that cannot be activated would say so to nobody.
 * What was logged before comes first.
 */
@Component(service = {}, immediate = true)
public final class LogBridge implements LogListener {
    private final LogReaderService reader;

    /**
     * Made by the framework.
     *
     * @param reader gives the log
     */
    @Activate
    public LogBridge(@Reference LogReaderService reader) {
        this.reader = reader;
        java.util.List<LogEntry> before = java.util.Collections.list(reader.getLog());
        reader.addLogListener(this);
        before.reversed().forEach(this::logged);
    }

    /** Ends it. */
    @Deactivate
    public void close() {
        reader.removeLogListener(this);
    }

    @Override
    public void logged(LogEntry e) {
        Logger log = LoggerFactory.getLogger("osgi." + e.getLoggerName());
        String text = e.getBundle() == null ? e.getMessage() : e.getBundle().getSymbolicName() + ": " + e.getMessage();
        if (String.valueOf(e.getLoggerName()).startsWith("Events.")) {
            log.trace(text);
            return;
        }
        switch (e.getLogLevel()) {
            case AUDIT, ERROR -> log.error(text, e.getException());
            case WARN -> log.warn(text, e.getException());
            // services and bundles come and go all the time: of interest to who looks for a fault
            default -> log.debug(text, e.getException());
        }
    }
}
