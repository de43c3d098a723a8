//Numpy array shape [4]
//Min -0.659230053425
//Max 0.066985897720
//Number of zeros 0

#ifndef B5_H_
#define B5_H_

#ifndef __SYNTHESIS__
fd_bias_t b5[4];
#else
fd_bias_t b5[4] = {-0.2056025416, -0.6592300534, 0.0669858977, 0.0436056368};

#endif

#endif
