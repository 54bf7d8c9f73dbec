// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;

/** How a driver writes down what it knows and what is not in the guest's memory. */
final class DriverState {
    private DriverState() {
    }

    static void write(DataOutput to, int... values) throws IOException {
        to.writeInt(values.length);
        for (int v : values) {
            to.writeInt(v);
        }
    }

    /** Reads as many as there is place for. */
    static void read(DataInput from, int... into) throws IOException {
        int n = from.readInt();
        if (n != into.length) {
            throw new IOException("the driver that wrote this had " + n + " of what this one has " + into.length + ": other sizes");
        }
        for (int i = 0; i < n; i++) {
            into[i] = from.readInt();
        }
    }
}
