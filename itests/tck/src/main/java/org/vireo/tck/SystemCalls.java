// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads a trace of strace(1): which calls a process made on certain descriptors and their duplicates. */
final class SystemCalls {
    /** What may touch a device through its descriptor, how descriptors are duplicated, and openat for the marks. */
    static final String TRACED = "ioctl,read,write,readv,writev,pread64,pwrite64,preadv,pwritev,recvmsg,recvfrom,sendmsg,sendto,splice,"
            + "fcntl,dup,dup2,dup3,epoll_ctl,setsockopt,getsockopt,ftruncate,mmap,openat,open";

    private static final Pattern CALL = Pattern.compile("^(?:\\d+ +)?(\\w+)\\((\\d+)\\b(.*)$");
    private static final Pattern RESULT = Pattern.compile("= (\\d+)$");
    private static final Set<String> DUPLICATING = Set.of("dup", "dup2", "dup3");

    private final List<String> during = new ArrayList<>();
    private final List<String> after = new ArrayList<>();

    SystemCalls(Path trace, Set<Integer> descriptors) throws IOException {
        Set<Integer> watched = new HashSet<>(descriptors);
        boolean begun = false;
        boolean ended = false;
        for (String line : Files.readAllLines(trace)) {
            begun |= line.contains(TransferPeer.LOAD_BEGINS);
            ended |= line.contains(TransferPeer.LOAD_ENDED);
            Matcher m = CALL.matcher(line);
            if (!begun || !m.find() || !watched.contains(Integer.parseInt(m.group(2)))) {
                continue;
            }
            boolean duplicates = DUPLICATING.contains(m.group(1)) || m.group(1).equals("fcntl") && m.group(3).contains("F_DUPFD");
            if (duplicates) {
                Matcher r = RESULT.matcher(line);
                if (r.find()) {
                    watched.add(Integer.parseInt(r.group(1)));
                }
            } else if (!(m.group(1).equals("fcntl") && m.group(3).matches(", F_GETF[DL]\\b.*"))) {
                // reading a descriptor's flags does not reach the device
                (ended ? after : during).add(line);
            }
        }
        if (!ended) {
            throw new IOException("the trace has no marks: " + trace);
        }
    }

    /** Calls that reached the device while the state was loaded. */
    List<String> during() {
        return during;
    }

    /** Calls that reached the device later. */
    List<String> after() {
        return after;
    }
}
