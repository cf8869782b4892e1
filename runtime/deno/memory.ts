/**
 * How the memory of bodies is allocated.
 *
 * @module
 */

/**
 * Lets the allocator keep the memory of bodies that were sent.
 *
 * glibc returns free memory at the end of its heap to the kernel, from 128 KB
 * on, and the next body then costs a page fault for each 4 KB. It raises that
 * limit to twice the size of a freed block if the block was larger than any
 * before (`M_MMAP_THRESHOLD` in mallopt(3)). So a block is freed here, without
 * having been written to: up to 32 MB are kept. Other allocators ignore it.
 */
export function keepFreedMemory(): void {
  new ArrayBuffer(16 * 1024 * 1024).transfer(0);
}
