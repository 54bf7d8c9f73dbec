// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/**
 * What SLF4J logs through java.util.logging, one line an entry on the standard error. Set as {@code java.util.logging.config.class},
 * so that the JDK's own file of settings, console handler and formatter are never loaded.
 */
public final class LogSetup {
    // java.util.logging keeps loggers weakly: this keeps the root's level
    private static final Logger ROOT = Logger.getLogger("");

    /** Called by the JDK. */
    public LogSetup() {
        ROOT.addHandler(new LineHandler(new FileOutputStream(FileDescriptor.err)));
        level("info");
    }

    /**
     * Sets the level from which on is logged.
     *
     * @param level error, warn, info, debug, trace
     */
    static void level(String level) {
        ROOT.setLevel(switch (level) {
            case "error" -> Level.SEVERE;
            case "warn" -> Level.WARNING;
            case "debug" -> Level.FINE;
            case "trace" -> Level.FINEST;
            default -> Level.INFO;
        });
    }

    /** Writes a line for each entry, at once and in one piece. */
    static final class LineHandler extends Handler {
        private final PrintStream out;

        LineHandler(OutputStream out) {
            this.out = new PrintStream(out, false, StandardCharsets.UTF_8);
        }

        @Override
        public void publish(LogRecord r) {
            if (!isLoggable(r) || r.getLevel().intValue() < Level.INFO.intValue() && isOfTheJdk(r.getLoggerName())) {
                return;
            }
            StringBuilder b = new StringBuilder(128);
            time(b, r.getInstant().getEpochSecond(), r.getInstant().getNano());
            b.append(' ').append(level(r.getLevel().intValue())).append(' ').append(shortName(r.getLoggerName())).append(": ");
            // a line end inside a message would pass for another entry
            b.append(String.valueOf(r.getMessage()).replace('\n', ' ')).append('\n');
            if (r.getThrown() != null) {
                StringWriter trace = new StringWriter();
                r.getThrown().printStackTrace(new PrintWriter(trace, true));
                b.append(trace);
            }
            synchronized (this) {
                out.print(b);
                out.flush();
            }
        }

        private static boolean isOfTheJdk(String logger) {
            return logger != null && (logger.startsWith("java.") || logger.startsWith("jdk.") || logger.startsWith("sun."));
        }

        /** By hand: the formatters of java.time would cost a start 30 ms. */
        static void time(StringBuilder b, long seconds, int nanos) {
            LocalDateTime t = LocalDateTime.ofEpochSecond(seconds, nanos, ZoneOffset.UTC);
            digits(b, t.getYear(), 4).append('-');
            digits(b, t.getMonthValue(), 2).append('-');
            digits(b, t.getDayOfMonth(), 2).append('T');
            digits(b, t.getHour(), 2).append(':');
            digits(b, t.getMinute(), 2).append(':');
            digits(b, t.getSecond(), 2).append('.');
            digits(b, nanos / 1_000_000, 3).append('Z');
        }

        private static StringBuilder digits(StringBuilder b, int n, int width) {
            String s = Integer.toString(n);
            return b.append("0000", 0, width - s.length()).append(s);
        }

        private static String level(int value) {
            if (value >= Level.SEVERE.intValue()) {
                return "ERROR";
            }
            if (value >= Level.WARNING.intValue()) {
                return "WARN ";
            }
            if (value >= Level.INFO.intValue()) {
                return "INFO ";
            }
            return value >= Level.FINE.intValue() ? "DEBUG" : "TRACE";
        }

        private static String shortName(String logger) {
            return logger == null ? "" : logger.substring(logger.lastIndexOf('.') + 1);
        }

        @Override
        public void flush() {
            out.flush();
        }

        @Override
        public void close() {
            // the standard error belongs to the process
            out.flush();
        }
    }
}
