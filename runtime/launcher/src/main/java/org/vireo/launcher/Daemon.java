// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.apache.felix.framework.Felix;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.InvalidSyntaxException;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.startlevel.FrameworkStartLevel;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The framework with Vireo's bundles in it. One thread, but {@link #stop} from any. */
final class Daemon {
    private static final Logger LOG = LoggerFactory.getLogger(Daemon.class);
    /** One API for all bundles, so that they share the launcher's logging; also as the version that older bundles ask for. */
    private static final String SLF4J = "org.slf4j;version=2.0.17,org.slf4j.event;version=2.0.17,org.slf4j.helpers;version=2.0.17,"
            + "org.slf4j.spi;version=2.0.17,org.slf4j;version=1.7.36,org.slf4j.helpers;version=1.7.36,org.slf4j.spi;version=1.7.36";

    private final Felix framework;
    private final List<Path> bundles;

    /**
     * A daemon, not started.
     *
     * @param bundles jars in the order of their start
     * @param storage the framework's own files
     * @param asked properties that say what to do
     */
    Daemon(List<Path> bundles, Path storage, Map<String, String> asked) {
        this.bundles = bundles;
        Map<String, Object> properties = new HashMap<>(asked);
        properties.put(Constants.FRAMEWORK_STORAGE, storage.toString());
        properties.put(Constants.FRAMEWORK_SYSTEMPACKAGES_EXTRA, SLF4J);
        // jffi's memory access
        properties.put(Constants.FRAMEWORK_BOOTDELEGATION, "sun.misc");
        properties.put("felix.cache.locking", "false");
        // all levels of the distribution
        properties.put(Constants.FRAMEWORK_BEGINNING_STARTLEVEL, String.valueOf(1 + Distribution.HIGHEST));
        // the same version of a backend may come again with another content, beside the one that serves
        properties.put(Constants.FRAMEWORK_BSNVERSION, Constants.FRAMEWORK_BSNVERSION_MULTIPLE);
        // bundles' URLs carry their handler; a factory for the whole JVM would cost a start 30 ms
        properties.put("felix.service.urlhandlers", "false");
        properties.put("org.osgi.service.log.admin.loglevel", "INFO");
        properties.put("ds.loglevel", "info");
        // how long a component that does not return keeps the thread that tells all others of their configurations; by default 5 s
        properties.put("ds.lock.timeout.milliseconds", "2000");
        framework = new Felix(properties);
    }

    /**
     * What was asked for.
     *
     * @param nics how many NICs there are
     * @param problems what does not work, and is not so bad that nothing would; or an empty text
     */
    record Started(int nics, String problems) { }

    /** Something that was asked for does not work; the message is for a person. */
    static final class StartException extends Exception {
        private static final long serialVersionUID = 1L;
        private final boolean usage;

        StartException(String message, boolean usage) {
            super(message);
            this.usage = usage;
        }

        /** Whether the command line itself is wrong. */
        boolean usage() {
            return usage;
        }
    }

    /**
     * Starts the bundles and does what was asked.
     *
     * @return what there is
     * @throws StartException it does not work
     */
    Started start() throws StartException {
        long begin = System.nanoTime();
        try {
            framework.init();
            long initialised = System.nanoTime();
            BundleContext context = framework.getBundleContext();
            List<Bundle> installed = new ArrayList<>();
            FrameworkStartLevel levels = framework.adapt(FrameworkStartLevel.class);
            for (Path jar : bundles) {
                levels.setInitialBundleStartLevel(1 + Distribution.level(jar));
                installed.add(context.installBundle("reference:" + jar.toUri()));
            }
            // backends that come later: bundles of a lower level stop later, so theirs stop after who uses them and hands over
            levels.setInitialBundleStartLevel(1);
            framework.start();
            long started = System.nanoTime();
            for (Bundle b : installed) {
                if (isAtHand(b)) {
                    continue;
                }
                long from = System.nanoTime();
                start(b);
                LOG.trace("{} in {} us", b, (System.nanoTime() - from) / 1000);
            }
            long asking = System.nanoTime();
            Started what = ask(context);
            LOG.debug("framework {} ms, install {} ms, start of {} bundles {} ms, what was asked for {} ms", millis(begin, initialised),
                    millis(initialised, started), bundles.size(), millis(started, asking), millis(asking, System.nanoTime()));
            return what;
        } catch (BundleException | InvalidSyntaxException e) {
            LOG.debug("start", e);
            throw new StartException("the framework does not start: " + e.getMessage(), false);
        }
    }

    /** In {@code bundles/0}: there for others to resolve against, not started. */
    private static boolean isAtHand(Bundle b) {
        return b.getLocation().contains("/bundles/0/");
    }

    private static long millis(long from, long to) {
        return (to - from) / 1_000_000;
    }

    private static void start(Bundle b) throws StartException {
        if (b.getHeaders("").get(Constants.FRAGMENT_HOST) != null) {
            return;
        }
        try {
            b.start(Bundle.START_ACTIVATION_POLICY);
        } catch (BundleException e) {
            LOG.debug("start of {}", b, e);
            throw new StartException("bundle " + b.getSymbolicName() + " " + b.getVersion() + " does not start: " + e.getMessage(), false);
        }
    }

    private static Started ask(BundleContext context) throws StartException, InvalidSyntaxException {
        @SuppressWarnings("rawtypes")
        Collection<ServiceReference<Callable>> found = context.getServiceReferences(Callable.class, "(vireo.role=startup)");
        if (found.isEmpty()) {
            throw new StartException("the control plane has not started; --log-level debug tells why", false);
        }
        Map<?, ?> answer;
        try {
            answer = (Map<?, ?>) context.getService(found.iterator().next()).call();
        } catch (Exception e) {
            LOG.error("start", e);
            throw new StartException("unexpected: " + e, false);
        }
        if (answer.get("error") instanceof String why) {
            throw new StartException(why, Boolean.TRUE.equals(answer.get("usage")));
        }
        return new Started((Integer) answer.get("nics"), answer.get("problems") instanceof String p ? p : "");
    }

    /** Begins to stop; {@link #await} returns when it is done. */
    void stop() {
        try {
            framework.stop();
        } catch (BundleException e) {
            LOG.error("stop", e);
        }
    }

    /**
     * Waits until the framework has stopped, whoever stopped it.
     *
     * @param millis at most so long, 0 for ever
     * @return whether it has
     * @throws InterruptedException the thread was interrupted
     * @throws IOException it was not stopped, but failed
     */
    boolean await(long millis) throws InterruptedException, IOException {
        return switch (framework.waitForStop(millis).getType()) {
            case org.osgi.framework.FrameworkEvent.STOPPED -> true;
            case org.osgi.framework.FrameworkEvent.WAIT_TIMEDOUT -> false;
            default -> throw new IOException("the framework failed");
        };
    }
}
