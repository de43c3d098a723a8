// The macros around a design and its test bench with which Catapult verifies RTL against C++.
//
// Part of hardwire, Apache-2.0; written from the documented behaviour for C simulation with g++ or clang: without
// Catapult they call the design itself. In Catapult the vendor's header takes the place of this one.

#ifndef HARDWIRE_MC_SCVERIFY_H
#define HARDWIRE_MC_SCVERIFY_H

// The name of the design where it is defined, and where the test bench calls it.
#define CCS_BLOCK(design) design
#define CCS_DESIGN(design) design
// The test bench's main function and the way to end it.
#define CCS_MAIN(argc, argv) int main(argc, argv)
#define CCS_RETURN(status) return (status)

#endif
