# SAT, DeiT-S on CUB with k training images a class (Fig. 8, Table 8: k = 1, 3, 5, 10, the mean of ten draws). Epochs
# and batch are not published: the images are repeated (30, 10, 6, 3 times) to give the iterations of the whole set.
# Other cells: --cfg-options train_dataloader.dataset.dataset.k=3 train_dataloader.dataset.times=10, and
# ...dataset.seed.
_base_ = ['./sat_deit-s_cub.py']
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=30,
        dataset=dict(type='mmwsol.KShot', k=1, seed=0, dataset={{_base_.train_dataloader.dataset}})))
