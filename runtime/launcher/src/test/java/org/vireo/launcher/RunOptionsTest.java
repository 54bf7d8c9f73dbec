// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RunOptionsTest {
    @Test
    void optionsBecomeProperties() throws Exception {
        RunOptions o = RunOptions.parse(List.of("--nic", "id=a", "--netdev=tap,id=b", "--nic", "id=c", "--qmp", "/q", "--workers", "3",
                "--incoming", "unix:/m", "--log-level", "debug"));
        assertEquals("debug", o.logLevel());
        assertEquals(Map.of("vireo.run.nic.0", "id=a", "vireo.run.nic.1", "id=c", "vireo.run.netdev.0", "tap,id=b", "vireo.qmp", "/q",
                "vireo.workers", "3", "vireo.incoming", "unix:/m"), o.properties());
        assertEquals("info", RunOptions.parse(List.of()).logLevel());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            --nics id=a            | unknown option --nics; known are --backends, --config, --descriptor-store, --incoming, --log-level
            run                    | unexpected argument run
            --nic                  | --nic needs a value
            --nic --qmp /q         | --nic needs a value
            --qmp=                 | --qmp has an empty value
            --qmp /a --qmp /b      | --qmp is given 2 times
            --workers 0            | not a number from 1 to 256
            --workers 257          | not a number from 1 to 256
            --workers x            | not a number from 1 to 256
            --incoming tcp:1       | write unix:PATH
            --incoming unix:       | write unix:PATH
            --standby tcp:1        | --standby tcp:1: write unix:PATH
            --config a --config b  | --config is given 2 times
            --backends a --backends b | --backends is given 2 times
            --standby unix:/a,fence=no | --standby unix:/a,fence=no: fence= is auto or off, at the end
            --standby unix:/a --incoming unix:/b | --standby and --incoming at once
            --descriptor-store yes | --descriptor-store yes: on or off
            --log-level loud       | not one of error, warn, info, debug, trace
            """)
    void mistakesAreNamed(String line, String message) {
        RunOptions.UsageException e = assertThrows(RunOptions.UsageException.class, () -> RunOptions.parse(List.of(line.split(" "))));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void timesInTheLogAreUtc() {
        StringBuilder b = new StringBuilder();
        LogSetup.LineHandler.time(b, 1_700_000_009, 7_000_000);
        assertEquals("2023-11-14T22:13:29.007Z", b.toString());
    }
}
