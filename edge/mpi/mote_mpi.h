// What libmote_mpi.so offers to the program, which loads it when --split asks for it: the program itself needs no MPI.
#ifndef MOTE_EDGE_MPI_MOTE_MPI_H_
#define MOTE_EDGE_MPI_MOTE_MPI_H_

#include <stddef.h>

#include "engine/api/mote.h"

extern "C" {

// Joins the processes that mpirun started; once in a process, from its first thread and before it starts others. The
// link is this library's, until mote_mpi_close. Null with a line in `error` otherwise.
//
// From then on SIGTERM is not delivered: mpirun sends it when it has lost a process, and calls of the link tell so.
MOTE_API const mote_link* mote_mpi_open(char* error, size_t error_bytes);
// True once some process is lost, with the reason in a line: for who waits for something else than the link.
MOTE_API bool mote_mpi_lost(char* why, size_t why_bytes);
// Takes leave of the others. False: some process is lost, and this one must end without MPI's own farewell, by _exit.
MOTE_API bool mote_mpi_close();

}  // extern "C"

#endif  // MOTE_EDGE_MPI_MOTE_MPI_H_
