/**
 * Media that clients name by web addresses: whether they may be fetched, from where, and how much
 * of them. Nothing is fetched unless a router is told the hosts.
 */
@NullMarked
package io.epidote.router.media;

import org.jspecify.annotations.NullMarked;
