// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.osgi.service.component.annotations.Component;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.EventSink;

/** Takes the system's events and passes them to who listens. Any thread. */
@Component(service = {EventSink.class, EventHub.class})
public final class EventHub implements EventSink {
    private static final Logger LOG = LoggerFactory.getLogger(EventHub.class);

    private final CopyOnWriteArrayList<EventSink> listeners = new CopyOnWriteArrayList<>();

    /** A hub without listeners. */
    public EventHub() {
        // nothing to set up
    }

    void add(EventSink listener) {
        listeners.add(listener);
    }

    void remove(EventSink listener) {
        listeners.remove(listener);
    }

    @Override
    public void event(String name, Map<String, ?> data) {
        LOG.debug("event {} {}", name, data);
        for (EventSink l : listeners) {
            l.event(name, data);
        }
    }
}
