// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What both roles know of in-flight memory, and of a packed ring's base. */
class InflightLayoutTest {
    /** DPDK and QEMU's library round up what header and entries need, the one with padding, the other without. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 128, 255, 256, 1000, 1024, 32768})
    void aRingsPartIsAsLargeAsPeersMakeIt(int entries) {
        assertEquals((16L * entries + 16 + 63) / 64 * 64, SplitInflightLayout.stride(entries));
        assertEquals((16L * entries + 2 + 63) / 64 * 64, SplitInflightLayout.stride(entries));
        assertEquals((32L * entries + 29 + 63) / 64 * 64, PackedInflightLayout.stride(entries));
    }

    @ParameterizedTest
    @CsvSource({"0, 0, 0", "0x8000, 0x8000, 0x10100000000", "1, 0xffff, 0x1007fff0001", "0x8102, 3, 0x100030102"})
    void whereARingIsIsOneWord(String used, String old, String word) {
        int u = Integer.decode(used);
        int o = Integer.decode(old);
        long w = PackedInflightLayout.used(u, o);
        assertEquals(Long.decode(word), w);
        assertEquals(u, PackedInflightLayout.used(w));
        assertEquals(o, PackedInflightLayout.oldUsed(w));
        // peers write any value that is true, and what is behind it is padding
        assertEquals(o, PackedInflightLayout.oldUsed(w | 0x7f7f_0000_0000_0000L));
    }

    @ParameterizedTest
    @CsvSource({"0x80, 0x8000, false", "0x8080, 0x8000, true", "0x8000, 0x8000, true", "0, 0x8000, true", "0x8003, 5, false", "0, 5, true",
        "0x83, 5, true", "0x8080, 5, true"})
    void whatIsNoLongerAvailableIsGivenBack(String flags, String old, boolean committed) {
        assertEquals(committed, PackedInflightLayout.isCommitted(Integer.decode(flags), Integer.decode(old)));
    }

    @ParameterizedTest
    @CsvSource({"0, 0x8000, 0", "0x80008000, 0, 0x8000", "0x00050007, 0x8000, 5", "7, 0x8000, 0", "7, 0, 7", "7, 0x80, 7", "7, 0x8080, 7",
        "0x8000, 0x8000, 0", "0x8000, 0, 0x8000", "0x8007, 0x8000, 0x8007", "12, 0x8000, 12"})
    void aUsedPositionOfZeroIsSaidOrNot(String num, String flags, String position) {
        assertEquals(Long.decode(position), PackedBase.position((int) (long) Long.decode(num), 10, Integer.decode(flags)));
    }

    @Test
    void onlyAnAvailablePositionAloneIsUnsure() {
        assertEquals(false, PackedBase.isUnsure(0));
        assertEquals(false, PackedBase.isUnsure(0x10000));
        assertEquals(true, PackedBase.isUnsure(0x8000));
    }
}
