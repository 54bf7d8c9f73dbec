// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class OptionSyntaxTest {
    @Test
    void firstKeyMayBeLeftOut() throws Exception {
        Map<String, String> o = OptionSyntax.parse("tap,id=net0,ifname=tap0", "type");
        assertEquals(Map.of("type", "tap", "id", "net0", "ifname", "tap0"), o);
        assertEquals(List.of("type", "id", "ifname"), List.copyOf(o.keySet()));
    }

    @Test
    void valuesMayHoldEqualsAndDoubledCommas() throws Exception {
        assertEquals(Map.of("id", "a", "script", "/bin/x -o a=b,c", "x", ","), OptionSyntax.parse("id=a,script=/bin/x -o a=b,,c,x=,,",
                "type"));
    }

    @Test
    void valueMayBeEmpty() throws Exception {
        assertEquals(Map.of("script", "", "id", "a"), OptionSyntax.parse("script=,id=a", "type"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            id=a,id=b            | 'id' is given twice: a and b
            tap,type=tap         | 'type' is given twice
            tap,server           | 'server' has no value; write server=VALUE
            tap,                 | empty part
            ,id=a                | empty part
            id=a,,b=c,           | empty part
            ''                   | empty part
            tap,net.dev=a        | 'net.dev' is not the name of an option
            tap,=a               | '' is not the name
            """)
    void mistakesAreNamed(String text, String message) {
        OptionSyntax.SyntaxException e = assertThrows(OptionSyntax.SyntaxException.class, () -> OptionSyntax.parse(text, "type"));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
