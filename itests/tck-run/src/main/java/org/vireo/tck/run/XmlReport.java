// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import javax.xml.stream.XMLOutputFactory;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamWriter;

/** Writes results as the XML that build servers read: a test case for each rule, its class the place in the contract. */
final class XmlReport {
    private XmlReport() {
    }

    static void write(Path file, String suite, List<RuleTable.Result> results) throws IOException {
        try (Writer out = Files.newBufferedWriter(file, StandardCharsets.UTF_8)) {
            XMLStreamWriter w = XMLOutputFactory.newInstance().createXMLStreamWriter(out);
            w.writeStartDocument("UTF-8", "1.0");
            w.writeCharacters("\n");
            w.writeStartElement("testsuite");
            w.writeAttribute("name", suite);
            w.writeAttribute("tests", Integer.toString(results.size()));
            w.writeAttribute("failures", count(results, RuleTable.Outcome.FAILED));
            w.writeAttribute("errors", "0");
            w.writeAttribute("skipped", count(results, RuleTable.Outcome.NOT_RUN));
            w.writeAttribute("time", seconds(results.stream().mapToLong(RuleTable.Result::nanos).sum()));
            for (RuleTable.Result r : results) {
                w.writeCharacters("\n  ");
                write(w, r);
            }
            w.writeCharacters("\n");
            w.writeEndDocument();
            w.close();
        } catch (XMLStreamException e) {
            throw new IOException(e);
        }
    }

    private static void write(XMLStreamWriter w, RuleTable.Result r) throws XMLStreamException {
        w.writeStartElement("testcase");
        w.writeAttribute("name", r.rule().id());
        w.writeAttribute("classname", r.rule().contract());
        w.writeAttribute("time", seconds(r.nanos()));
        switch (r.outcome()) {
            case FAILED -> {
                w.writeStartElement("failure");
                w.writeAttribute("message", plain(r.seen()));
                w.writeAttribute("type", r.why().getClass().getName());
                StringWriter trace = new StringWriter();
                r.why().printStackTrace(new PrintWriter(trace, true));
                w.writeCharacters(plain(r.rule().says() + "\n" + trace));
                w.writeEndElement();
            }
            case NOT_RUN -> {
                w.writeEmptyElement("skipped");
                w.writeAttribute("message", plain(r.seen()));
            }
            default -> {
                if (!r.seen().isEmpty()) {
                    w.writeStartElement("system-out");
                    w.writeCharacters(plain(r.seen()));
                    w.writeEndElement();
                }
            }
        }
        w.writeEndElement();
    }

    /** XML has no other control characters. */
    private static String plain(String s) {
        return s.replaceAll("[\\p{Cntrl}&&[^\n\t]]", "?");
    }

    private static String count(List<RuleTable.Result> results, RuleTable.Outcome outcome) {
        return Long.toString(results.stream().filter(r -> r.outcome() == outcome).count());
    }

    private static String seconds(long nanos) {
        return String.format(Locale.ROOT, "%.3f", nanos / 1e9);
    }
}
