// SPDX-License-Identifier: Apache-2.0
/** {@code vireo tck}: the backend test kit on a bundle as it will be deployed, from the command line. */
package org.vireo.tck.run;
