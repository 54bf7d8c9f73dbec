// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.osgi.framework.BundleContext;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.worker.BackendException;
import org.vireo.net.api.NetBackend;

/**
 * Fetches the objects of backends' services, and gives them back. That constructs, activates and deactivates components, which is code of
 * the backend: each in a thread of its own, so that one that takes long, or for ever, keeps neither the framework's thread nor another
 * netdev waiting.
 */
public final class BackendServices {
    private static final Logger LOG = LoggerFactory.getLogger(BackendServices.class);
    private static final int LONG_SECONDS = 5;
    private static final long LET_GO_MILLIS = 500;

    private final Slots slots;
    private final BundleContext context;
    private final Executor threads;
    private final Map<Long, Service> all = new HashMap<>();

    /** A service that is there, guarded by itself. */
    private static final class Service {
        final ServiceReference<NetBackend> reference;
        final String who;
        NetBackend object;
        boolean fetching = true;
        boolean left;

        Service(ServiceReference<NetBackend> reference) {
            this.reference = reference;
            who = reference.getProperty(NetBackend.NETDEV_TYPE) + " of " + Candidate.bundle(reference);
        }
    }

    BackendServices(Slots slots, BundleContext context, Executor threads) {
        this.slots = slots;
        this.context = context;
        this.threads = threads;
    }

    private static long id(ServiceReference<?> reference) {
        return (Long) reference.getProperty(Constants.SERVICE_ID);
    }

    /**
     * A service came. Returns at once.
     *
     * @param reference the service
     */
    public void add(ServiceReference<NetBackend> reference) {
        String wrong = Candidate.wrong(reference);
        if (wrong != null) {
            LOG.warn("a backend of {} {}: it serves nobody", Candidate.bundle(reference), wrong);
            return;
        }
        Service s = new Service(reference);
        synchronized (all) {
            all.put(id(reference), s);
        }
        slots.arrives(reference, s.who);
        threads.execute(() -> fetch(s));
        CompletableFuture.delayedExecutor(LONG_SECONDS, TimeUnit.SECONDS, threads).execute(() -> complain(s));
    }

    private static void complain(Service s) {
        synchronized (s) {
            if (!s.fetching) {
                return;
            }
        }
        LOG.warn("netdev {}: backend {} has not returned from its activation for {} s; nobody else waits", Candidate.netdev(s.reference),
                s.who, LONG_SECONDS);
    }

    private void fetch(Service s) {
        NetBackend object = null;
        String why = "the log has what it threw";
        try {
            object = context.getService(s.reference);
        } catch (Throwable t) {
            why = BackendException.of(t).getMessage();
        }
        boolean left;
        synchronized (s) {
            s.fetching = false;
            s.object = object;
            left = s.left;
            if (!left && object != null) {
                slots.add(object, s.reference);
            }
        }
        if (left) {
            giveBack(s);
        } else if (object == null) {
            slots.slot(Candidate.netdev(s.reference)).backends().arrivesNot(id(s.reference),
                    "backend " + s.who + " could not be activated: " + why);
        }
    }

    private void giveBack(Service s) {
        synchronized (s) {
            if (s.object == null) {
                return;
            }
            s.object = null;
        }
        try {
            context.ungetService(s.reference);
        } catch (Throwable t) {
            LOG.warn("netdev {}: backend {}: its deactivation threw {}", Candidate.netdev(s.reference), s.who,
                    BackendException.of(t).getMessage());
        }
    }

    /**
     * A service leaves: when this returns, nobody calls it any more, except for calls that hang.
     *
     * @param reference the service
     */
    public void remove(ServiceReference<NetBackend> reference) {
        Service s;
        synchronized (all) {
            s = all.remove(id(reference));
        }
        if (s == null) {
            return;
        }
        boolean there;
        synchronized (s) {
            s.left = true;
            there = !s.fetching;
        }
        slots.remove(reference);
        if (there) {
            deactivate(s);
        }
    }

    private void deactivate(Service s) {
        CompletableFuture<Void> done = CompletableFuture.runAsync(() -> giveBack(s), threads);
        try {
            done.get(LET_GO_MILLIS, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            LOG.warn("netdev {}: backend {} has not returned from its deactivation for {} ms; nobody waits for it any more",
                    Candidate.netdev(s.reference), s.who, LET_GO_MILLIS);
        } catch (ExecutionException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
