// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.NetdevException;

/** What costs a stack trace in the log, and what does not. */
class BackendExceptionTest {
    private static NetdevException refusal(Throwable cause) {
        return new NetdevException("netdev net0: it does not", cause);
    }

    @Test
    void aBackendsOwnWordsNeedNoStack() {
        for (Throwable cause : new Throwable[] {null, new IOException("gone"), new NetdevException("gone", new IOException("gone"))}) {
            assertTrue(BackendException.isForeseen(refusal(cause)));
            assertTrue(BackendException.isForeseen(BackendException.of(refusal(cause))));
            assertTrue(BackendException.isForeseen(refusal(BackendException.of(refusal(cause)))));
        }
    }

    /** Whatever it is wrapped in, by the backend or by who called it. */
    @Test
    void anErrorOfItsCodeDoes() {
        for (Throwable crash : new Throwable[] {new NullPointerException("x"), new StackOverflowError()}) {
            BackendException told = BackendException.of(refusal(crash));
            assertFalse(BackendException.isForeseen(told));
            assertEquals("netdev net0: it does not", told.toString());
            assertEquals(crash.getStackTrace()[0], told.getCause().getStackTrace()[0]);
            assertFalse(BackendException.isForeseen(BackendException.of(refusal(new IOException(crash)))));
            assertFalse(BackendException.isForeseen(BackendException.of(crash)));
            assertFalse(BackendException.isForeseen(refusal(crash)));
            assertFalse(BackendException.isForeseen(refusal(BackendException.of(crash))));
        }
    }
}
