//Numpy array shape [3]
//Min -0.652339696884
//Max 0.077453136444
//Number of zeros 0

#ifndef B6_H_
#define B6_H_

#ifndef __SYNTHESIS__
d3_bias_t b6[3];
#else
d3_bias_t b6[3] = {0.077453, -0.652340, -0.478065};

#endif

#endif
