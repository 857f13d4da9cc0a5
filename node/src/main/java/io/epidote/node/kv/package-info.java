/**
 * The KV blocks of a node as its prefill and decode stages share them: the pool, the line in which
 * requests wait for it, the arithmetic by which they are admitted, room to swap sequences out, and
 * the cache of prompts' beginnings. Belongs to the engine thread. No network.
 */
@NullMarked
package io.epidote.node.kv;

import org.jspecify.annotations.NullMarked;
