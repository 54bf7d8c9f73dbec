// SPDX-License-Identifier: Apache-2.0
/** Rates and costs, measured in pairs with a floor or with another way of doing the same: absolute figures of a machine mean little. */
package org.vireo.bench.measure;
