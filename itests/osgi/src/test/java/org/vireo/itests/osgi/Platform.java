// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import java.util.List;

/** What the framework needs beside the house: the same bundles as the launcher's, SLF4J on the class path. */
final class Platform {
    /** Artifacts, in the order in which they are started. */
    static final List<String> BUNDLES = List.of("org.osgi.util.function", "org.osgi.util.promise", "org.osgi.service.component",
            "org.apache.felix.log", "org.apache.felix.configadmin", "org.apache.felix.metatype", "org.apache.felix.scr", "jackson-core");

    /** Artifacts that the test kit needs. */
    static final List<String> TEST_BUNDLES = List.of("opentest4j", "apiguardian-api", "junit-platform-commons", "junit-jupiter-api");

    /** Artifacts that the health checks need. */
    static final List<String> HEALTH_BUNDLES = List.of("org.apache.felix.healthcheck.api");

    /** Artifacts on the framework's class path. */
    static final List<String> CLASS_PATH = List.of("slf4j-api", "slf4j-jdk14");

    /** Packages that the framework exports from its class path; also as the version that older bundles ask for. */
    static final String SLF4J_PACKAGES = "org.slf4j;version=2.0.17,org.slf4j.event;version=2.0.17,org.slf4j.spi;version=2.0.17,"
            + "org.slf4j.helpers;version=2.0.17,org.slf4j;version=1.7.36,org.slf4j.helpers;version=1.7.36,org.slf4j.spi;version=1.7.36";

    private Platform() {
    }
}
