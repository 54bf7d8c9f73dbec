// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import org.vireo.frontend.virtionet.worker.Scratch;
import org.vireo.frontend.virtionet.worker.Task;

/** A task that is nothing but somebody's owner. */
final class TestTask extends Task {
    @Override
    protected void ready(int source, int events) {
        throw new UnsupportedOperationException();
    }

    @Override
    protected boolean run(Scratch scratch) {
        return false;
    }

    @Override
    protected void broken(Throwable why) {
        throw new IllegalStateException(why);
    }

    @Override
    protected boolean memoryTruncated() {
        return false;
    }

    @Override
    protected void rewind() {
        throw new UnsupportedOperationException();
    }

    @Override
    protected Object group() {
        return this;
    }

    @Override
    protected void returned() {
        throw new UnsupportedOperationException();
    }
}
