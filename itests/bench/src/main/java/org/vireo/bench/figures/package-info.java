// SPDX-License-Identifier: Apache-2.0
/** What measurements come to: medians, ratios, the worst. Numbers only; nothing here measures. */
package org.vireo.bench.figures;
