/**
 * Who belongs to the cluster, as options, DNS or Kubernetes know it. What is said here is where to
 * look and whom to spare; that a node serves, only its registration says.
 */
@NullMarked
package io.epidote.node.discovery;

import org.jspecify.annotations.NullMarked;
