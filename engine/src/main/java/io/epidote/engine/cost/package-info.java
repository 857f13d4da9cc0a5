/**
 * What steps of the model take: roofline terms for each stage, fitted to measurements. Knows
 * neither models nor clocks; whoever runs steps measures them.
 */
@NullMarked
package io.epidote.engine.cost;

import org.jspecify.annotations.NullMarked;
