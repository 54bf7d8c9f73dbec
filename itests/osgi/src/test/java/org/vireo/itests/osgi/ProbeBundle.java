// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import org.vireo.itests.osgi.probe.ProbeBackend;

/** Bundles of {@link ProbeBackend}, made while the test runs, and what they have seen. */
final class ProbeBundle {
    static final String NAME = "org.vireo.itests.osgi.probe";
    static final String TYPE = "probe";
    private static final String CLASS = ProbeBackend.class.getName();

    private ProbeBundle() {
    }

    /** The bundle's content. */
    static InputStream of(String version, int ranking, String fails) throws IOException {
        String component = """
                <scr:component xmlns:scr="http://www.osgi.org/xmlns/scr/v1.4.0" name="%s" configuration-policy="require"
                    deactivate="deactivate" configuration-pid="netdev.probe" init="1">
                  <property name="netdev.type" type="String" value="probe"/>
                  <property name="service.ranking" type="Integer" value="%d"/>
                  <service>
                    <provide interface="org.vireo.net.api.NetBackend"/>
                    <provide interface="org.vireo.net.api.BackendStateTransfer"/>
                  </service>
                  <implementation class="%s"/>
                </scr:component>
                """.formatted(CLASS, ranking, CLASS);
        Map<String, String> headers = Map.of("Bundle-ManifestVersion", "2", "Bundle-SymbolicName", NAME, "Bundle-Version", version,
                "Import-Package", "org.vireo.net.api;version=\"[1.0,2)\",org.vireo.posix.linux,org.osgi.framework",
                "Provide-Capability", "net.backend;net.backend=probe", "Service-Component", "OSGI-INF/probe.xml",
                ProbeBackend.FAILS, fails);
        return jar(headers, Map.of("OSGI-INF/probe.xml", component), List.of(CLASS, CLASS + "$Port"));
    }

    static InputStream of(String version) throws IOException {
        return of(version, 0, "nothing");
    }

    /** A bundle without classes. */
    static InputStream plain(String name, Map<String, String> headers) throws IOException {
        Map<String, String> all = new java.util.HashMap<>(headers);
        all.put("Bundle-ManifestVersion", "2");
        all.put("Bundle-SymbolicName", name);
        return jar(all, Map.of(), List.of());
    }

    private static InputStream jar(Map<String, String> headers, Map<String, String> texts, List<String> classes) throws IOException {
        Manifest m = new Manifest();
        m.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
        headers.forEach(m.getMainAttributes()::putValue);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JarOutputStream out = new JarOutputStream(bytes, m)) {
            for (Map.Entry<String, String> t : texts.entrySet()) {
                out.putNextEntry(new JarEntry(t.getKey()));
                out.write(t.getValue().getBytes(StandardCharsets.UTF_8));
            }
            for (String c : classes) {
                String path = c.replace('.', '/') + ".class";
                out.putNextEntry(new JarEntry(path));
                try (InputStream in = ProbeBackend.class.getResourceAsStream("/" + path)) {
                    in.transferTo(out);
                }
            }
        }
        return new ByteArrayInputStream(bytes.toByteArray());
    }

    /** Forgets what was seen. */
    static void forget() {
        ProbeBackend.counts().clear();
        ProbeBackend.calls().clear();
    }

    static long count(String what) {
        return ProbeBackend.counts().getOrDefault(what, new AtomicLong()).get();
    }

    static List<String> calls() {
        return List.copyOf(ProbeBackend.calls());
    }
}
