// SPDX-License-Identifier: Apache-2.0
package org.vireo.health;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;
import org.apache.felix.hc.api.Result;
import org.apache.felix.hc.api.Result.Status;
import org.apache.felix.hc.api.ResultLog;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;

class ChecksTest {
    private static <T> T answering(Class<T> type, Map<String, ?> answers) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (p, method, arguments) -> {
            if (!answers.containsKey(method.getName())) {
                throw new AssertionError(type + " was asked for " + method.getName());
            }
            return answers.get(method.getName());
        }));
    }

    private static NicStatus nic(String id, NicState state, String why) {
        return answering(NicStatus.class, Map.of("id", id, "state", state, "why", why, "netdev", "net0", "vmmPid", 77L));
    }

    private static NetdevStatus netdev(String state, long bundle) {
        return answering(NetdevStatus.class, Map.of("id", "net0", "state", state, "bundleId", bundle, "nic", "nic0", "bundle",
                bundle < 0 ? "" : "org.example 1.0.0"));
    }

    private static Result nics(NicStatus... list) {
        return new NicsCheck(answering(Nics.class, Map.of("list", List.of(list)))).execute();
    }

    private static String text(Result r) {
        return String.join("\n", StreamSupport.stream(r.spliterator(), false).map(ResultLog.Entry::getMessage).toList());
    }

    @ParameterizedTest
    @CsvSource({"RUNNING,OK", "CONNECTED,OK", "LISTENING,OK", "AWAITING,OK", "PREPARED,OK", "FROZEN,TEMPORARILY_UNAVAILABLE",
        "NO_BACKEND,WARN", "FAILED,CRITICAL", "CLOSED,OK"})
    void eachStateOfANicHasItsStatus(NicState state, Status expected) {
        Result r = nics(nic("nic0", NicState.RUNNING, ""), nic("nic1", state, "its backend held the worker"));
        assertEquals(expected, r.getStatus());
        assertTrue(text(r).contains("nic1"), text(r));
        assertTrue(text(r).contains("2 NICs"), text(r));
    }

    @Test
    void theWorstNicCountsAndItsReasonIsTold() {
        Result r = nics(nic("nic0", NicState.NO_BACKEND, ""), nic("nic1", NicState.FAILED, "its backend held {} the worker"));
        assertEquals(Status.CRITICAL, r.getStatus());
        assertTrue(text(r).contains("nic1 has failed: its backend held {} the worker"), text(r));
        assertTrue(text(r).contains("netdev net0 has no backend"), text(r));
    }

    @ParameterizedTest
    @CsvSource({"open,3,OK", "closed,3,OK", "parked,3,WARN", "parked,-1,WARN", "closed,-1,WARN", "failed: EBUSY,3,CRITICAL",
        "failed: EBUSY,-1,CRITICAL"})
    void eachStateOfANetdevHasItsStatus(String state, long bundle, Status expected) {
        Result r = new NetdevsCheck(answering(Nics.class, Map.of("netdevs", List.of(netdev(state, bundle))))).execute();
        assertEquals(expected, r.getStatus());
        assertTrue(text(r).contains("net0"), text(r));
    }

    @Test
    void withoutAFrontendNothingServes() {
        assertEquals(Status.CRITICAL, new NicsCheck(null).execute().getStatus());
        assertEquals(Status.CRITICAL, new NetdevsCheck(null).execute().getStatus());
    }

    @Test
    void nothingToServeIsNoFault() {
        assertEquals(Status.OK, nics().getStatus());
        assertEquals(Status.OK, new NetdevsCheck(answering(Nics.class, Map.of("netdevs", List.of()))).execute().getStatus());
    }
}
