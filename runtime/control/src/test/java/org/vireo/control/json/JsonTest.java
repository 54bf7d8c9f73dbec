// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    @ParameterizedTest
    @ValueSource(strings = {"null", "true", "-7", "123456789012345678901234567890", "1.5", "\"a\\\"\\n\u00e4\"", "[]",
            "{\"b\":[1,{\"a\":null}],\"a\":false}"})
    void whatIsReadIsWrittenAlike(String text) throws Exception {
        assertEquals(text, Json.text(Json.read(text)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " ", "{", "}", "{} {}", "[1,]", "{\"a\":1,\"a\":2}", "{'a':1}", "nul", "01", "\"\t\"", "{a:1}", "NaN",
            "\"\\x\"", "1e-99999999999"})
    void whatIsNoJsonIsRefused(String text) {
        assertThrows(Json.JsonException.class, () -> Json.read(text));
    }

    @Test
    void depthIsBounded() throws Exception {
        Json.read("[".repeat(Json.MAX_DEPTH) + "]".repeat(Json.MAX_DEPTH));
        assertThrows(Json.JsonException.class, () -> Json.read("[".repeat(Json.MAX_DEPTH + 1) + "]".repeat(Json.MAX_DEPTH + 1)));
    }

    @Test
    void bytesThatAreNoUtf8AreRefused() {
        byte[] b = {'"', (byte) 0xc3, '"'};
        assertThrows(Json.JsonException.class, () -> Json.read(b, 0, b.length));
    }
}
