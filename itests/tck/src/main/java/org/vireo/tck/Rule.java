// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.lang.reflect.Method;
import java.util.List;
import org.junit.jupiter.api.DisplayNameGenerator;
import org.junit.jupiter.api.Test;

/** A rule of the contract, as a test. */
@Documented
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
@Test
public @interface Rule {
    /**
     * What it is called: lower case, words joined by hyphens; it stays the same from one version of the kit to the next.
     *
     * @return the name
     */
    String id();

    /**
     * Where the contract says so: a type of {@link org.vireo.net.api} and perhaps one of its members, or {@code package-info}.
     *
     * @return {@code BackendStateTransfer.load}
     */
    String contract();

    /**
     * The rule.
     *
     * @return one sentence
     */
    String says();

    /** Names tests by their rules. */
    final class Names extends DisplayNameGenerator.Standard {
        /** For JUnit. */
        public Names() {
            // no state
        }

        @Override
        public String generateDisplayNameForMethod(List<Class<?>> enclosing, Class<?> type, Method method) {
            Rule r = method.getAnnotation(Rule.class);
            return r == null ? super.generateDisplayNameForMethod(enclosing, type, method) : r.contract() + ": " + r.says();
        }
    }
}
