// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench;

import java.util.List;

/**
 * The command line of {@code vireo demo}.
 *
 * @param guest soft or qemu
 * @param json whether the result is one JSON object
 * @param count handovers
 * @param rate frames a second each way, 0: what the guest can do
 * @param help whether only help is asked for
 */
record DemoOptions(String guest, boolean json, int count, int rate, boolean help) {
    static final String HELP = """
            vireo demo [--guest soft|qemu] [--json] [--count N] [--rate N]

              A guest, a daemon and traffic between guest and host; then the guest's NIC is handed over from process to process
              while numbered frames flow both ways and are counted. Nothing has to be set up, and nothing stays behind.

              --guest soft   a network namespace is the guest (default); without root in a user namespace
              --guest qemu   a Linux under QEMU (packages qemu-system-x86, linux-image-cloud-amd64, busybox-static, cpio)
              --count N      handovers (10)
              --rate N       numbered frames a second each way (soft: 10000 for each processor, at most 50000; qemu: 1000)
              --json         one JSON object instead of a table

            Exit codes: 0 nothing was lost, duplicated or reordered, and ping and TCP worked; 1 otherwise; 2 wrong command line.
            """;
    private static final int MAX_COUNT = 10_000;
    private static final int MAX_RATE = 1_000_000;

    static DemoOptions parse(List<String> args) {
        String guest = "soft";
        boolean json = false;
        boolean help = false;
        int count = 10;
        int rate = 0;
        for (int i = 0; i < args.size(); i++) {
            String a = args.get(i);
            String name = a.startsWith("--") && a.contains("=") ? a.substring(0, a.indexOf('=')) : a;
            boolean joined = name.length() < a.length();
            switch (name) {
                case "--json" -> json = flag(a, joined);
                case "--help", "-h" -> help = flag(a, joined);
                case "--guest", "--count", "--rate" -> {
                    if (!joined && i + 1 == args.size()) {
                        throw new IllegalArgumentException(name + " needs a value");
                    }
                    String value = joined ? a.substring(name.length() + 1) : args.get(++i);
                    if (name.equals("--guest")) {
                        guest = guest(value);
                    } else if (name.equals("--rate")) {
                        rate = number(name, value, 1, MAX_RATE);
                    } else {
                        count = number(name, value, 1, MAX_COUNT);
                    }
                }
                default -> throw new IllegalArgumentException("unknown option " + a
                        + "; known are --guest, --json, --count, --rate, --help");
            }
        }
        return new DemoOptions(guest, json, count, rate, help);
    }

    private static boolean flag(String a, boolean joined) {
        if (joined) {
            throw new IllegalArgumentException(a + ": this option has no value");
        }
        return true;
    }

    private static String guest(String value) {
        if (!value.equals("soft") && !value.equals("qemu")) {
            throw new IllegalArgumentException("--guest " + value + " is not known; there are soft and qemu");
        }
        return value;
    }

    static int number(String name, String value, int min, int max) {
        try {
            int n = Integer.parseInt(value);
            if (n >= min && n <= max) {
                return n;
            }
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(name + " " + value + " is not a number", e);
        }
        throw new IllegalArgumentException(name + " " + value + " is not between " + min + " and " + max);
    }
}
