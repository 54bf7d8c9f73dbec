// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What the service manager is told of this process, with systemd-notify(1). */
final class ServiceStatus {
    private static final Logger LOG = LoggerFactory.getLogger(ServiceStatus.class);
    private static final long SECONDS = 5;

    private ServiceStatus() {
    }

    /** Tells it, if there is one that wants to know. */
    static void tell(String what) {
        if (System.getenv("NOTIFY_SOCKET") == null) {
            return;
        }
        try {
            Process p = new ProcessBuilder("systemd-notify", what).inheritIO().start();
            if (!p.waitFor(SECONDS, TimeUnit.SECONDS) || p.exitValue() != 0) {
                LOG.warn("the service manager could not be told {}", what);
            }
        } catch (IOException e) {
            LOG.warn("the service manager could not be told {}: {}", what, e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
