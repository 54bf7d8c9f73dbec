// SPDX-License-Identifier: Apache-2.0
package org.example.rogue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** What goes wrong, and where: {@code WHERE-WHAT}, as {@code open-throw}, {@code transmit-hang}. */
final class Faults {
    private final String where;
    private final String what;

    Faults(Object option) {
        String text = option == null ? "none-none" : option.toString();
        where = text.substring(0, text.indexOf('-'));
        what = text.substring(text.indexOf('-') + 1);
    }

    boolean is(String place, String kind) {
        return where.equals(place) && what.equals(kind);
    }

    /** A call begins. */
    void at(String place) {
        if (where.equals(place)) {
            happen();
        }
    }

    private void happen() {
        switch (what) {
            case "throw" -> throw new IllegalStateException("fault " + where);
            case "checked" -> Faults.<RuntimeException>sneak(new Exception("fault " + where));
            case "error" -> throw new NoClassDefFoundError("fault " + where);
            case "memory" -> throw new OutOfMemoryError("fault " + where);
            case "overflow" -> deep(0);
            case "mute" -> throw new Mute();
            case "slow" -> sleep(6);
            case "hang" -> sleep(Long.MAX_VALUE / 2);
            case "eat" -> eat();
            case "interrupt" -> Thread.currentThread().interrupt();
            default -> { }
        }
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void sneak(Throwable t) throws T {
        throw (T) t;
    }

    private static int deep(int n) {
        return deep(n + 1) + 1;
    }

    private static void sleep(long seconds) {
        boolean ended = false;
        while (!ended) {
            try {
                ended = new CountDownLatch(1).await(seconds, TimeUnit.SECONDS) || seconds < 60;
            } catch (InterruptedException e) {
                // it does not listen
                continue;
            }
        }
    }

    private static void eat() {
        List<byte[]> all = new ArrayList<>();
        while (!all.isEmpty() || all.add(new byte[1])) {
            all.add(new byte[1 << 20]);
        }
    }

    /** Its own message throws. */
    private static final class Mute extends RuntimeException {
        private static final long serialVersionUID = 1L;

        @Override
        public String getMessage() {
            throw new IllegalStateException("no message");
        }

        @Override
        public StackTraceElement[] getStackTrace() {
            throw new IllegalStateException("no trace");
        }
    }
}
