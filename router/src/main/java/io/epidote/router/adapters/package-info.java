/**
 * The adapters of the cluster: loads and unloads on all nodes as one, a folder that is watched, and
 * nodes that join later. Calls nodes; knows nothing of requests.
 */
@NullMarked
package io.epidote.router.adapters;

import org.jspecify.annotations.NullMarked;
